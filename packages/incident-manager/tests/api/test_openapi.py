"""The OpenAPI document says what the service does, errors included."""

import json
from typing import Any

import httpx2
import pytest

from incident_manager.api import (
    audit_schemas,
    breaker_history_schemas,
    circuit_breaker_schemas,
    compatibility_schemas,
    health_schemas,
    incident_schemas,
    silence_schemas,
    token_schemas,
)
from incident_manager.api import schemas as schemas_module
from incident_manager.api.examples import EXAMPLES

ROUTES = {
    "POST /v1/alerts": "ingest",
    "POST /v1/ingest/alertmanager": "ingest",
    "POST /v1/ingest/cloudevents": "ingest",
    "POST /v1/ingest/grafana": "ingest",
    "POST /v1/ingest/pagerduty": None,
    "POST /v1/ingest/prometheus/api/v2/alerts": "ingest",
    "POST /v1/ingest/sentinel": None,
    "POST /api/v2/alerts": "ingest",
    "POST /v2/enqueue": None,
    "GET /v1/incidents": "read",
    "POST /v1/incidents": "respond",
    "GET /v1/incidents/{incident_id}": "read",
    "PATCH /v1/incidents/{incident_id}": "respond",
    "POST /v1/incidents/{incident_id}/ack": "respond",
    "POST /v1/incidents/{incident_id}/resolve": "respond",
    "POST /api/v1/alerts": "ingest",
    "POST /api/v1/incidents": "ingest",
    "GET /api/v1/incidents/{incident_id}": "read",
    "POST /api/v1/incidents/{incident_id}": "respond",
    "GET /v1/silences": "read",
    "POST /v1/silences": "respond",
    "GET /v1/silences/{silence_id}": "read",
    "DELETE /v1/silences/{silence_id}": "respond",
    "GET /v1/circuit-breakers": "read",
    "GET /v1/circuit-breakers/health": "read",
    "GET /v1/circuit-breakers/kpis": "read",
    "GET /v1/circuit-breakers/{name}": "read",
    "GET /v1/circuit-breakers/{name}/transitions": "read",
    "POST /v1/circuit-breakers/{name}/open": "admin",
    "POST /v1/circuit-breakers/{name}/close": "admin",
    "POST /v1/circuit-breakers/{name}/reset": "admin",
    "POST /v1/circuit-breakers/reset-all": "admin",
    "GET /v1/stream": "read",
    "GET /v1/audit": "admin",
    "GET /v1/tokens": "admin",
    "POST /v1/tokens": "admin",
    "DELETE /v1/tokens/{token_id}": "admin",
    "GET /health": "read",
    "GET /health/live": None,
    "GET /health/ready": None,
    "GET /metrics": "read",
}
"""Every route, with the role it needs."""

#: Where bodies and answers are described.
MODULES = (
    audit_schemas,
    breaker_history_schemas,
    circuit_breaker_schemas,
    compatibility_schemas,
    health_schemas,
    incident_schemas,
    schemas_module,
    silence_schemas,
    token_schemas,
)

#: These refuse events in PagerDuty's own shape.
PAGERDUTY = ("POST /v2/enqueue", "POST /v1/ingest/pagerduty")


@pytest.fixture
def document(client: httpx2.Client) -> Any:
    return client.get("/openapi.json").raise_for_status().json()


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_is_described(document: Any) -> None:
    found = operations(document)
    assert found.keys() == ROUTES.keys()
    for name, operation in found.items():
        assert operation["description"], name


def test_every_route_names_the_role_it_needs(document: Any) -> None:
    assert document["components"]["securitySchemes"].keys() == {"bearer", "basic"}
    for name, operation in operations(document).items():
        role = ROUTES[name]
        assert operation["security"] == ([{"bearer": [role]}, {"basic": [role]}] if role else []), name
        if role:
            assert {"401", "403", "429"} <= operation["responses"].keys(), name


def test_every_error_answer_has_the_one_shape(document: Any) -> None:
    shape = {"$ref": "#/components/schemas/ErrorAnswer"}
    for name, operation in operations(document).items():
        for status, answer in operation["responses"].items():
            if status == "400" and name in PAGERDUTY:
                assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/InvalidEvent"), name
            elif status >= "400":
                assert answer["content"]["application/json"]["schema"] == shape, (name, status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_routes_that_use_the_database_announce_503_with_retry_after(document: Any) -> None:
    for name, operation in operations(document).items():
        if name.partition(" ")[2].startswith(
            ("/v1/alerts", "/v1/ingest", "/v1/incidents", "/v1/silences", "/v2", "/api")
        ):
            assert "Retry-After" in operation["responses"]["503"]["headers"], name


def test_bodies_that_adapters_read_are_described_too(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert "dedup_key" in schemas["NativeAlert"]["properties"]
    body = operations(document)["POST /v1/ingest/alertmanager"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["properties"].keys() >= {"alerts", "commonLabels"}
    assert "fingerprint" in schemas["AlertmanagerAlert"]["properties"]


def test_every_way_in_shows_an_example(document: Any) -> None:
    for name, operation in operations(document).items():
        is_way_in = name.partition(" ")[2].startswith(("/v1/alerts", "/v1/ingest", "/v2", "/api"))
        if is_way_in and "requestBody" in operation:
            [body, *_] = operation["requestBody"]["content"].values()
            assert has_example(body, document["components"]["schemas"]), name


def test_every_reference_leads_somewhere(document: Any) -> None:
    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*(references(item) for item in value.values()))
        return set().union(*(references(item) for item in value)) if isinstance(value, list) else set()

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known


def test_page_for_people_is_served(client: httpx2.Client) -> None:
    assert "swagger" in client.get("/docs").raise_for_status().text.lower()


def test_every_body_and_answer_has_an_example_that_fits(document: Any) -> None:
    schemas = document["components"]["schemas"]
    for name, operation in operations(document).items():
        for place in (operation.get("requestBody", {}), *operation["responses"].values()):
            content = place.get("content", {}).get("application/json")
            if content is not None and not has_example(content, schemas):
                raise AssertionError(f"{name}: {content}")
    for name, example in EXAMPLES.items():
        [model] = {getattr(module, name) for module in MODULES if hasattr(module, name)}
        model.model_validate_json(json.dumps(example))


def has_example(content: dict[str, Any], schemas: dict[str, Any]) -> bool:
    if "example" in content or "examples" in content or "examples" in content["schema"]:
        return True
    reference = content["schema"].get("$ref", "")
    return "examples" in schemas.get(reference.rpartition("/")[2], {})
