"""What senders post, as the API's documentation shows it; the tests send each of these."""

from typing import Any

ALERTMANAGER: dict[str, Any] = {
    "version": "4",
    "receiver": "incident-manager",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "InstanceDown", "instance": "db-1:9100", "severity": "critical"},
            "annotations": {"summary": "db-1 is down"},
            "startsAt": "2026-11-25T08:00:00.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=up+%3D%3D+0",
            "fingerprint": "9ccc1e1f8b7a4f3c",
        }
    ],
    "commonLabels": {"alertname": "InstanceDown"},
    "commonAnnotations": {},
}

PROMETHEUS: list[dict[str, Any]] = [
    {
        "labels": {"alertname": "InstanceDown", "instance": "db-1:9100", "severity": "critical"},
        "annotations": {"summary": "db-1 is down"},
        "startsAt": "2026-11-25T08:00:00.123Z",
        "endsAt": "2026-11-25T08:04:00.123Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up+%3D%3D+0",
    }
]

GRAFANA: dict[str, Any] = {
    "receiver": "incident-manager",
    "status": "firing",
    "orgId": 1,
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "High memory usage", "grafana_folder": "ops", "severity": "warning"},
            "annotations": {"summary": "92 % of the memory of web-1 is used"},
            "startsAt": "2026-11-25T08:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://grafana.example.org/alerting/grafana/afz29v7z/view",
            "fingerprint": "c6eadffa33fcdf37",
            "values": {"B": 92.4, "C": 1},
        }
    ],
}

PAGERDUTY: dict[str, Any] = {
    "routing_key": "samplekeysamplekeysamplekeysampl",
    "event_action": "trigger",
    "dedup_key": "disk-db-1",
    "payload": {
        "summary": "97 % of the disk of db-1 is used",
        "source": "db-1.example.org",
        "severity": "critical",
        "custom_details": {"free": "12 GB"},
    },
}

CLOUDEVENT: dict[str, Any] = {
    "specversion": "1.0",
    "type": "org.example.disk.full",
    "source": "/hosts/db-1",
    "subject": "/var",
    "id": "A234-1234-1234",
    "time": "2026-11-25T08:00:00Z",
    "severity": "critical",
    "datacontenttype": "application/json",
    "data": {"title": "The disk is full", "free": 0},
}

SENTINEL: dict[str, Any] = {
    "event_type": "anomaly.detected",
    "timestamp": "2026-11-25T08:00:01Z",
    "data": {
        "alert_id": "6f1c8a52-1d0e-4b0f-9a51-0f4c8b1f2a77",
        "timestamp": "2026-11-25T08:00:00Z",
        "severity": "high",
        "anomaly_type": "latency_spike",
        "service_name": "chat",
        "model": "large-1",
        "detection_method": "z_score",
        "confidence": 0.97,
        "details": {"metric": "latency_ms", "value": 5400.0, "baseline": 820.5, "threshold": 3.0},
        "context": {"region": "eu-1", "time_window": "5m", "sample_count": 120},
        "remediation": ["Send traffic to another provider"],
        "related_alerts": [],
    },
}
