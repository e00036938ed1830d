"""Changes: made once, on what was read, and never without a record of who made them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from testing.service import eventually

NEW = {"title": "Checkout is slow", "severity": "high"}


def create(client: httpx2.Client, **fields: object) -> Any:
    return client.post("/v1/incidents", json={**NEW, **fields}).raise_for_status().json()


def error(answer: httpx2.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def read(client: httpx2.Client, incident_id: str) -> httpx2.Response:
    return client.get(f"/v1/incidents/{incident_id}").raise_for_status()


def audit(client: httpx2.Client, target: str) -> list[Any]:
    entries = client.get("/v1/audit", params={"limit": 200}).raise_for_status().json()["entries"]
    return [entry for entry in entries if entry["target"] == target]


# Entity tags


def test_the_tag_of_a_change_is_that_of_its_answer_and_names_the_version(client: httpx2.Client) -> None:
    answer = client.post("/v1/incidents", json=NEW)
    assert answer.headers["ETag"].startswith('"1-')
    path = answer.headers["Location"]
    assert client.patch(path, json={"note": "x"}).headers["ETag"].startswith('"2-')
    assert client.get(path).headers["ETag"].startswith('"2-')


def test_a_change_of_what_was_read_is_made(client: httpx2.Client) -> None:
    incident = create(client)
    tag = read(client, incident["id"]).headers["ETag"]
    answer = client.patch(f"/v1/incidents/{incident['id']}", json={"title": "Down"}, headers={"If-Match": tag})
    assert answer.json()["version"] == 2


@pytest.mark.parametrize("act", ["", "/ack", "/resolve"])
@pytest.mark.parametrize("tag", ['"2-0123456789abcdef"', '"0"', 'W/"1"', '"x"', '""', '"2", "3"'])
def test_a_change_of_something_else_is_refused(client: httpx2.Client, act: str, tag: str) -> None:
    incident = create(client)
    method, body = ("POST", {}) if act else ("PATCH", {"title": "Down"})
    answer = client.request(method, f"/v1/incidents/{incident['id']}{act}", json=body, headers={"If-Match": tag})
    found = error(answer, 412)
    assert (found["code"], found["field"]) == ("precondition_failed", "If-Match")
    after = read(client, incident["id"]).json()
    assert {key: after[key] for key in incident} == incident


@pytest.mark.parametrize("tag", ["*", '"1"', '"7", "1-whatever"', '"1-0123456789abcdef"'])
def test_a_condition_that_holds_lets_the_change_through(client: httpx2.Client, tag: str) -> None:
    incident = create(client)
    path = f"/v1/incidents/{incident['id']}/ack"
    assert client.post(path, headers={"If-Match": tag}).status_code == 200


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("tag", ["1", '"1', "", '"1" "2"', '"1",'])
def test_a_condition_that_cannot_be_read_is_refused(client: httpx2.Client, header: str, tag: str) -> None:
    incident = create(client)
    path = f"/v1/incidents/{incident['id']}"
    method, body = ("PATCH", {"note": "x"}) if header == "If-Match" else ("GET", None)
    assert error(client.request(method, path, json=body, headers={header: tag}), 422)["field"] == header


def test_the_version_in_the_body_is_a_conflict_as_before(client: httpx2.Client) -> None:
    incident = create(client)
    path = f"/v1/incidents/{incident['id']}"
    body = {"title": "Down", "version": 7}
    assert error(client.patch(path, json=body), 409)["code"] == "version_conflict"
    assert error(client.patch(path, json=body, headers={"If-Match": '"1"'}), 409)["code"] == "version_conflict"


def test_what_is_at_hand_is_not_sent_again_until_it_changes(client: httpx2.Client) -> None:
    source = {"title": "Queue grows", "dedup_key": "etag", "source": "etag"}
    incident_id = client.post("/v1/alerts", json=source).json()["alerts"][0]["incident_id"]
    path = f"/v1/incidents/{incident_id}"
    # Its notification is delivered meanwhile, and changes the answer.
    delivered = eventually(lambda: client.get(path), lambda it: it.json()["notifications"][0]["status"] == "delivered")
    tag = delivered.headers["ETag"]
    answer = client.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
    client.post("/v1/alerts", json=source).raise_for_status()  # the same version, and another answer
    again = client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.json()["version"], again.json()["alert_count"]) == (200, 1, 2)


# Idempotency keys


def test_the_same_request_with_the_same_key_is_answered_the_same_and_done_once(client: httpx2.Client) -> None:
    headers = {"Idempotency-Key": "create-1"}
    first, second = (client.post("/v1/incidents", json=NEW, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    for name in ("ETag", "Location"):
        assert first.headers[name] == second.headers[name]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(audit(client, first.json()["id"])) == 1


def test_a_repetition_is_answered_as_at_the_first_time_whatever_happened_since(client: httpx2.Client) -> None:
    incident = create(client)
    path = f"/v1/incidents/{incident['id']}"
    headers = {"Idempotency-Key": "ack-1", "If-Match": '"1"'}
    first = client.post(f"{path}/ack", json={"by": "ana"}, headers=headers)
    client.post(f"{path}/resolve").raise_for_status()
    again = client.post(f"{path}/ack", json={"by": "ana"}, headers=headers)
    assert (again.status_code, again.content) == (200, first.content)


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/incidents", {**NEW, "title": "Other"}), ("/v1/incidents/{id}/ack", NEW)]
)
def test_a_key_is_good_for_one_request(client: httpx2.Client, path: str, body: Any) -> None:
    headers = {"Idempotency-Key": f"reused {path}".replace(" ", "-")}
    incident = client.post("/v1/incidents", json=NEW, headers=headers).json()
    body = {} if path.endswith("ack") else body
    found = error(client.post(path.format(**incident), json=body, headers=headers), 422)
    assert (found["code"], found["field"]) == ("idempotency_key_reused", "Idempotency-Key")


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "\u00e9"])
def test_a_key_that_is_none_is_refused(client: httpx2.Client, key: str) -> None:
    answer = client.post("/v1/incidents", json=NEW, headers={"Idempotency-Key": key.encode("latin-1")})  # type: ignore[dict-item]
    assert error(answer, 422)["field"] == "Idempotency-Key"


def test_a_request_that_was_refused_may_be_repeated_with_its_key(client: httpx2.Client) -> None:
    incident = create(client)
    path, headers = f"/v1/incidents/{incident['id']}", {"Idempotency-Key": "after-conflict"}
    body = {"status": "closed"}
    assert client.patch(path, json=body, headers=headers).status_code == 409
    client.post(f"{path}/resolve").raise_for_status()
    assert client.patch(path, json=body, headers=headers).json()["status"] == "closed"


def test_requests_with_one_key_at_once_make_one_change(client: httpx2.Client) -> None:
    headers = {"Idempotency-Key": "at-once"}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/incidents", json=NEW, headers=headers), range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1


# Audit


def test_every_change_of_an_incident_is_kept_with_who_made_it(client: httpx2.Client) -> None:
    incident = create(client, by="ana")
    path = f"/v1/incidents/{incident['id']}"
    client.patch(path, json={"assignee": "bo", "by": "ana"}, headers={"X-Request-Id": "my-request"}).raise_for_status()
    client.post(f"{path}/ack", json={"by": "bo"}).raise_for_status()
    client.post(f"{path}/ack", json={"by": "cy"}).raise_for_status()  # changes nothing
    client.post(f"{path}/resolve", json={"by": "bo"}).raise_for_status()
    entries = audit(client, incident["id"])
    assert [(entry["action"], entry["actor"]) for entry in reversed(entries)] == [
        ("incident.create", "ana"),
        ("incident.change", "ana"),
        ("incident.acknowledge", "bo"),
        ("incident.resolve", "bo"),
    ]
    changed = entries[2]
    assert changed["changes"] == {"assignee": {"from": None, "to": "bo"}}
    assert (changed["request_id"], changed["address"], changed["token_id"]) == ("my-request", "127.0.0.1", None)
    assert entries[0]["changes"]["status"] == {"from": "detected", "to": "resolved"}


def test_a_change_that_was_refused_is_not_in_the_audit_log(client: httpx2.Client) -> None:
    incident = create(client)
    client.patch(f"/v1/incidents/{incident['id']}", json={"status": "closed"})
    client.patch(f"/v1/incidents/{incident['id']}", json={"title": "x"}, headers={"If-Match": '"9"'})
    assert len(audit(client, incident["id"])) == 1


def test_what_is_done_to_a_circuit_breaker_is_kept(client: httpx2.Client) -> None:
    path = "/v1/circuit-breakers/notify:ops"
    client.post(f"{path}/open", json={"reason": "the receiver is being moved"}).raise_for_status()
    client.post(f"{path}/reset").raise_for_status()
    [reset, opened, *_] = audit(client, "notify:ops")
    assert (opened["action"], reset["action"]) == ("circuit_breaker.open", "circuit_breaker.reset")
    assert opened["changes"]["reason"]["to"] == "the receiver is being moved"
    assert opened["changes"]["control"] == {"from": "automatic", "to": "forced_open"}


def test_a_circuit_breaker_obeys_while_the_database_is_away_and_the_record_follows(
    client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client.post("/v1/circuit-breakers/database/open", json={"reason": "maintenance"}).raise_for_status()
    answer = client.post("/v1/circuit-breakers/notify:ops/close", json={"reason": "during an outage"})
    assert answer.json()["control"] == "forced_closed"
    assert "audit: circuit_breaker.close by api" in caplog.text
    assert client.get("/v1/audit").status_code == 503
    client.post("/v1/circuit-breakers/reset-all").raise_for_status()

    def closings() -> list[Any]:
        return [each for each in audit(client, "notify:ops") if each["action"] == "circuit_breaker.close"]

    [entry] = eventually(closings, bool)
    assert entry["changes"]["reason"]["to"] == "during an outage"


def test_the_audit_log_is_read_page_by_page(client: httpx2.Client) -> None:
    made = [create(client)["id"] for _ in range(5)]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while len(seen) < 5:
        page = client.get("/v1/audit", params=params).raise_for_status().json()
        assert len(page["entries"]) == 2
        seen += [entry["target"] for entry in page["entries"]]
        params["cursor"] = page["next_cursor"]
    assert seen[:5] == made[::-1]


@pytest.mark.parametrize(
    "cursor", ["", "x", "before-", "before--1", "before-1e3", "before-" + "9" * 30, "before-\u0663"]
)
def test_a_cursor_that_is_none_is_refused(client: httpx2.Client, cursor: str) -> None:
    assert error(client.get("/v1/audit", params={"cursor": cursor}), 422)["field"] == "cursor"


# Request ids and headers


def test_a_sane_request_id_is_kept_and_another_one_replaced(client: httpx2.Client) -> None:
    assert client.get("/health/live", headers={"X-Request-Id": "abc-1.2"}).headers["X-Request-Id"] == "abc-1.2"
    made = set()
    for insane in ("", "two words", "x" * 129, "<script>", "a\tb"):
        made.add(client.get("/health/live", headers={"X-Request-Id": insane}).headers["X-Request-Id"])
    assert len(made) == 5
    assert all(each.startswith("req_") for each in made)


def test_an_error_names_its_request(client: httpx2.Client) -> None:
    for path in ("/v1/incidents?limit=0", "/v1/nothing", "/v1/incidents/inc_0"):
        answer = client.get(path, headers={"X-Request-Id": "find-me"})
        assert answer.json()["error"]["request_id"] == answer.headers["X-Request-Id"] == "find-me"


def test_answers_are_neither_cached_nor_guessed(client: httpx2.Client) -> None:
    for path in ("/v1/incidents", "/v1/nothing", "/health/live", "/metrics"):
        headers = client.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
