"""What bodies and answers look like, for OpenAPI: one example for each schema, by its name."""

from __future__ import annotations

from typing import Any

_INCIDENT_ID = "inc_019b8c0de7a07c0f8e9d0a1b2c3d4e5f"
_AT = "2026-01-05T09:00:00Z"
_LATER = "2026-01-05T09:04:10Z"

_INCIDENT: dict[str, Any] = {
    "id": _INCIDENT_ID,
    "title": "Checkout is slow",
    "description": "p99 is above 2 s",
    "severity": "P1",
    "severity_locked": False,
    "status": "investigating",
    "source": "prometheus",
    "labels": {"team": "payments", "instance": "shop-1"},
    "annotations": {"runbook": "https://runbooks.example.org/checkout"},
    "fingerprint": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "alert_count": 3,
    "first_seen": _AT,
    "last_seen": _LATER,
    "created_at": _AT,
    "updated_at": _LATER,
    "version": 3,
    "acknowledged_at": _LATER,
    "acknowledged_by": "ana",
    "assignee": "ana",
    "resolved_at": None,
    "resolved_by": None,
    "resolution": None,
    "expires_at": None,
}
_BREAKER: dict[str, Any] = {
    "name": "notify:ops-slack",
    "state": "open",
    "control": "automatic",
    "control_reason": None,
    "since": _AT,
    "time_in_state": 12.5,
    "retry_after": 47.5,
    "calls": {"success": 120, "failure": 10, "rejected": 4},
    "successful": 120,
    "failed": 10,
    "rejected": 4,
    "in_flight": 0,
    "consecutive_failures": 10,
    "failure_rate": 0.5,
    "slow_call_rate": None,
    "window_calls": 20,
    "attempt": 1,
    "transitions": [{"from_state": "closed", "to_state": "open", "count": 1}],
    "last_failure": "ConnectError: connection refused",
}
_BREAKERS_HEALTH: dict[str, Any] = {"total": 3, "closed": 2, "open": 1, "half_open": 0, "healthy": False}
_KPIS: dict[str, Any] = {
    "observed_seconds": 86400.0,
    "calls": 1250,
    "succeeded": 1200,
    "failed": 12,
    "rejected": 38,
    "availability": 0.96,
    "rejection_rate": 0.0304,
    "open_seconds": 190.0,
    "open_ratio": 0.0022,
    "transitions": 4,
    "transitions_per_day": 4.0,
    "openings": 2,
    "mean_time_open": 95.0,
    "recoveries": 1,
    "time_to_recovery": 190.4,
    "p99": 0.25,
    "p99_without_breaker": 10.0,
    "failures_avoided": 38,
    "incidents_avoided": 1,
    "slices": [{"at": _AT, "calls": 52.0, "failed": 0.0, "rejected": 0.0, "open_seconds": 0.0}],
}
_TOKEN: dict[str, Any] = {
    "id": "3f9c2b7a10de",
    "name": "alertmanager",
    "roles": ["ingest"],
    "created_at": _AT,
    "expires_at": None,
    "last_used_at": _LATER,
    "revoked_at": None,
}

_SILENCE: dict[str, Any] = {
    "id": "sil_019b8c0de7a07ccc8e9d0a1b2c3d4e5f",
    "state": "active",
    "matchers": {"team": "payments", "source": "prometheus"},
    "starts_at": _AT,
    "ends_at": "2026-01-05T11:00:00Z",
    "reason": "The database is being upgraded.",
    "created_by": "ana",
    "created_at": _AT,
}

EXAMPLES: dict[str, Any] = {
    "AcceptedAlerts": {
        "alerts": [
            {"alert_id": "alt_019b8c0de7a07aaa8e9d0a1b2c3d4e5f", "incident_id": _INCIDENT_ID, "action": "opened"}
        ]
    },
    "AcceptedAlert": {
        "alert_id": "alt_019b8c0de7a07aaa8e9d0a1b2c3d4e5f",
        "incident_id": _INCIDENT_ID,
        "action": "opened",
    },
    "TheirIncident": {
        "title": "A prompt asks for card numbers",
        "severity": "high",
        "source": "policy-engine",
        "policy_id": "pci-3",
        "context": {"request": "r-17", "score": 0.97},
        "tags": ["pii"],
    },
    "TheirUpdate": {"status": "resolved", "resolution": "The user was blocked."},
    "TheirIncidentOut": {
        "id": _INCIDENT_ID,
        "title": "A prompt asks for card numbers",
        "description": "",
        "severity": "high",
        "status": "new",
        "source": "policy-engine",
        "policy_id": "pci-3",
        "rule_id": None,
        "user_id": None,
        "context": {"request": "r-17", "score": 0.97},
        "tags": ["pii"],
        "assigned_to": None,
        "resolution": None,
        "created_at": _AT,
        "updated_at": _AT,
        "resolved_at": None,
    },
    "TheirAlert": {
        "alert_type": "budget_exceeded",
        "message": "Team search has spent its tokens of the month",
        "severity": "medium",
        "source": "policy-engine",
        "context": {"team": "search"},
        "recipients": ["ana@example.org"],
    },
    "IncidentOut": _INCIDENT,
    "IncidentDetail": {
        **_INCIDENT,
        "assessment": {
            "security": "clean",
            "classified_by": "sentinel",
            "severity_reasoning": "incidents like this one are high",
            "summary": "Checkout answers slowly since 09:00.",
            "next_steps": ["Look at the last deployment."],
            "summary_by": "edge-agent",
            "compliance": "compliant",
            "compliance_notes": [],
            "pending": [],
        },
        "group": {
            "id": "grp_019b8c0de7a07ccc8e9d0a1b2c3d4e5f",
            "rule": "same-cluster",
            "labels": {"cluster": "eu1"},
            "started_at": _AT,
            "size": 2,
            "first": _INCIDENT["id"],
            "related": [
                {
                    "id": "inc_019b8c0de7a07ddd8e9d0a1b2c3d4e5f",
                    "title": "The database is slow",
                    "severity": "P1",
                    "status": "detected",
                    "created_at": _AT,
                }
            ],
        },
        "service": {
            "name": "checkout",
            "owner": "payments",
            "on_call": "payments-on-call@example.org",
            "tier": "1",
            "runbook": "https://runbooks.example.org/checkout",
            "dashboards": ["https://grafana.example.org/d/checkout"],
            "depends_on": ["database"],
        },
        "timeline": [
            {
                "at": _AT,
                "actor": "source:prometheus",
                "kind": "opened",
                "message": "opened by an alert of prometheus",
                "data": {"alert_id": "alt_019b8c0de7a07aaa8e9d0a1b2c3d4e5f"},
            }
        ],
        "notifications": [
            {
                "id": "msg_019b8c0de7a07bbb8e9d0a1b2c3d4e5f",
                "destination": "ops-slack",
                "event": "triggered",
                "status": "delivered",
                "attempts": 1,
                "created_at": _AT,
                "next_attempt_at": _AT,
                "held_by": None,
                "delivered_at": _AT,
                "last_error": None,
            }
        ],
    },
    "IncidentPage": {"incidents": [_INCIDENT], "next_cursor": None},
    "IncidentCreate": {
        "title": "Checkout is slow",
        "severity": "high",
        "by": "ana",
        "labels": {"team": "payments"},
    },
    "IncidentPatch": {"status": "investigating", "assignee": "ana", "note": "The cache is cold.", "by": "ana"},
    "Acknowledge": {"by": "ana"},
    "Resolve": {"by": "ana", "resolution": "The cache was warmed."},
    "SilenceCreate": {
        "matchers": {"team": "payments", "source": "prometheus"},
        "duration": 7200,
        "reason": "The database is being upgraded.",
        "by": "ana",
    },
    "SilenceOut": _SILENCE,
    "SilenceList": {"silences": [_SILENCE]},
    "CircuitBreakerOut": _BREAKER,
    "CircuitBreakerList": {"circuit_breakers": [_BREAKER]},
    "CircuitBreakersHealth": _BREAKERS_HEALTH,
    "CircuitBreakersKpis": {
        "window": 86400.0,
        "since": "2026-01-04T09:00:00Z",
        "until": _AT,
        "history_since": "2026-01-01T00:00:00Z",
        "total": _KPIS,
        "circuit_breakers": [{"name": "notify:ops-slack", **_KPIS}],
    },
    "TransitionPage": {
        "transitions": [
            {
                "at": _AT,
                "instance": "run_019b8c0de7a07ddd8e9d0a1b2c3d4e5f",
                "from_state": "half_open",
                "to_state": "closed",
                "reason": "probes_succeeded",
                "detail": None,
                "open_for": None,
                "attempt": 0,
                "stayed": 0.4,
                "recovery_seconds": 190.4,
                "rejected": 38,
                "by_operator": False,
            }
        ],
        "next_cursor": "before-17",
    },
    "Order": {"reason": "the receiver is being moved"},
    "Reset": {"reason": "the receiver is back"},
    "ResetAll": {"reset": ["database", "notify:ops-slack"]},
    "TokenCreate": {"name": "alertmanager", "roles": ["ingest"]},
    "TokenOut": _TOKEN,
    "NewTokenOut": {**_TOKEN, "last_used_at": None, "token": "im_3f9c2b7a10de_<43 characters>"},
    "TokenList": {"tokens": [_TOKEN]},
    "AuditPage": {
        "entries": [
            {
                "sequence": 17,
                "at": _LATER,
                "token_id": "3f9c2b7a10de",
                "actor": "ana (token chat-bot)",
                "address": "192.0.2.10",
                "action": "incident.change",
                "target": _INCIDENT_ID,
                "changes": {"assignee": {"from": None, "to": "ana"}},
                "request_id": "req_6f0c2f5a114f1c2b9e0d7a4b",
            }
        ],
        "next_cursor": "before-17",
    },
    "Alive": {"status": "alive"},
    "Ready": {"status": "ready", "database": "open"},
    "Health": {
        "status": "degraded",
        "version": "0.1.0",
        "journal": {"waiting": 0, "oldest_age": 0.0, "set_aside": 0, "bytes": 0},
        "circuit_breakers": _BREAKERS_HEALTH,
        "waiting_notifications": {"ops-slack": 4},
        "delivery_problems": {},
        "configuration_problems": {"catalog": "catalog.yaml:4:5: services.checkout.owners: unknown key"},
    },
}
