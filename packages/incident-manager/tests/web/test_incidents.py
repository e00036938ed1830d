"""The list, one incident, and what can be done with it, without any script."""

import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from .conftest import Visitor, pages_from

Opened = Callable[..., str]
Visit = Callable[[str], Visitor]


def titles(page: str) -> list[str]:
    return re.findall(r'<a class="title"[^>]*><bdi>(.*?)</bdi>', page)


def test_list_shows_the_open_incidents_newest_first(visitor: Visit, opened: Opened, api: httpx2.Client) -> None:
    first, over, last = (opened(f"listed {name}", source="listing") for name in ("first", "over", "last"))
    api.post(f"/v1/incidents/{over}/resolve", json={}).raise_for_status()
    reader = visitor("read")
    assert titles(reader.get("/?source=listing").text) == ["listed last", "listed first"]
    assert titles(reader.get("/?source=listing&state=ended").text) == ["listed over"]
    assert titles(reader.get("/?source=listing&state=all").text) == ["listed last", "listed over", "listed first"]
    assert first != last


def test_list_is_narrowed_by_state_severity_and_text(visitor: Visit, opened: Opened, api: httpx2.Client) -> None:
    opened("Disk of alpha", source="narrow", severity="critical")
    seen = opened("Disk of beta", source="narrow", severity="low")
    api.post(f"/v1/incidents/{seen}/ack", json={}).raise_for_status()
    reader = visitor("read")
    for query, expected in (
        ("severity=P0", ["Disk of alpha"]),
        ("severity=low", ["Disk of beta"]),
        ("text=DISK+OF+B", ["Disk of beta"]),
        ("state=unacknowledged", ["Disk of alpha"]),
        ("state=investigating", []),
        ("state=&severity=&text=", ["Disk of beta", "Disk of alpha"]),
    ):
        assert titles(reader.get(f"/?source=narrow&{query}").text) == expected, query


def test_list_goes_on_page_by_page(visitor: Visit, api: httpx2.Client) -> None:
    sent = [f"paged {number:02}" for number in range(60)]
    alerts = [{"title": title, "source": "paging"} for title in sent]
    api.post("/v1/alerts", json={"alerts": alerts}).raise_for_status()
    first, second = pages_from(visitor("read"), "/?source=paging")
    assert (len(titles(first)), len(titles(second))) == (50, 10)
    assert sorted(titles(first) + titles(second)) == sent
    assert '<a href="/?source=paging">Newest</a>' in second


@pytest.mark.parametrize(
    ("query", "named"),
    [("state=broken", "state"), ("severity=worst", "severity"), ("cursor=x", "cursor"), ("text=" + "x" * 501, "text")],
)
def test_query_that_makes_no_sense_is_refused_by_name(visitor: Visit, query: str, named: str) -> None:
    answer = visitor("read").get(f"/?{query}")
    assert answer.status_code == 422
    assert f"<bdi>{named}: " in answer.text


def test_incident_is_shown_with_its_history_alerts_and_deliveries(
    visitor: Visit, opened: Opened, api: httpx2.Client
) -> None:
    incident_id = opened("whole", description="two\nlines", labels={"service": "chat"}, severity="high")
    api.patch(f"/v1/incidents/{incident_id}", json={"note": "looked at it", "by": "ben"}).raise_for_status()
    text = visitor("read").get(f"/incidents/{incident_id}").text
    assert "two\nlines" in text
    assert '<bdi class="key">service</bdi><bdi>chat</bdi>' in text
    assert text.index("looked at it") < text.index("opened by an alert of")  # the latest first
    assert "P1 (high), <bdi>as api said</bdi>" in text
    assert re.search(r"<td><bdi>ops</bdi></td><td>triggered</td>", text)
    assert re.search(r'<time class="at" datetime="[^"]+Z" title="[^"]+ UTC">', text)


def test_severity_set_by_a_person_names_the_person(visitor: Visit, opened: Opened) -> None:
    incident_id = opened("rated")
    responder = visitor("respond")
    page, action = f"/incidents/{incident_id}", f"/incidents/{incident_id}/change"
    responder.send(page, action, severity="P0")
    assert "P0 (critical), <bdi>set by respond</bdi>" in responder.get(page).text


def test_acknowledging_and_resolving_is_what_the_api_does(visitor: Visit, opened: Opened, api: httpx2.Client) -> None:
    incident_id = opened("acted on")
    responder, page = visitor("respond"), f"/incidents/{incident_id}"
    answer = responder.send(page, f"{page}/acknowledge")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{page}?done=acknowledged")
    assert "Acknowledged." in responder.get(answer.headers["Location"]).text
    responder.send(page, f"{page}/resolve", resolution="restarted it")
    incident = api.get(f"/v1/incidents/{incident_id}").json()
    assert (incident["acknowledged_by"], incident["resolved_by"]) == ("respond", "respond")
    assert (incident["status"], incident["resolution"]) == ("resolved", "restarted it")
    audited = [entry["action"] for entry in api.get("/v1/audit").json()["entries"] if entry["target"] == incident_id]
    assert audited == ["incident.resolve", "incident.acknowledge"]
    assert f"{page}/acknowledge" not in responder.get(page).text


def test_acknowledging_in_the_list_leads_back_to_the_list(visitor: Visit, opened: Opened) -> None:
    incident_id = opened("from the list", source="quick")
    responder = visitor("respond")
    answer = responder.send("/?source=quick", f"/incidents/{incident_id}/acknowledge")
    assert answer.headers["Location"] == "/?source=quick&done=acknowledged"
    assert "acknowledged by <bdi>respond</bdi>" in responder.get(answer.headers["Location"]).text


@pytest.mark.parametrize(
    ("fields", "member", "expected"),
    [
        ({"status": "investigating"}, "status", "investigating"),
        ({"severity": "P3"}, "severity", "P3"),
        ({"assignee": "ana"}, "assignee", "ana"),
        ({"assignee": ""}, "assignee", None),
    ],
)
def test_what_is_changed_in_a_form_is_changed(
    visitor: Visit, opened: Opened, api: httpx2.Client, fields: dict[str, str], member: str, expected: Any
) -> None:
    incident_id = opened(f"changed {fields}")
    page = f"/incidents/{incident_id}"
    assert visitor("respond").send(page, f"{page}/change", **fields).status_code in (303, 422)
    assert api.get(f"/v1/incidents/{incident_id}").json()[member] == expected


def test_who_was_overtaken_is_shown_the_new_state_and_keeps_what_was_typed(
    visitor: Visit, opened: Opened, api: httpx2.Client
) -> None:
    incident_id = opened("contested")
    responder, page = visitor("respond"), f"/incidents/{incident_id}"
    shown = responder.get(page).text
    api.patch(f"/v1/incidents/{incident_id}", json={"assignee": "ben", "by": "ben"}).raise_for_status()
    form = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', shown))
    answer = responder.client.post(f"{page}/change", data={**form, "note": "my long note"})
    assert answer.status_code == 409
    assert "Somebody else changed this incident" in answer.text
    assert "assigned to ben by ben" in answer.text
    assert ">my long note</textarea>" in answer.text
    assert api.get(f"/v1/incidents/{incident_id}").json()["timeline"][-1]["message"] != "my long note"
    again = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', answer.text))
    assert responder.client.post(f"{page}/change", data={**again, "note": "my long note"}).status_code == 303


def test_change_that_the_lifecycle_forbids_is_refused_with_the_reason(
    visitor: Visit, opened: Opened, api: httpx2.Client
) -> None:
    incident_id = opened("forward only")
    api.patch(f"/v1/incidents/{incident_id}", json={"status": "remediating"}).raise_for_status()
    page = f"/incidents/{incident_id}"
    answer = visitor("respond").send(page, f"{page}/change", status="triaged")
    assert answer.status_code == 409
    assert "Nothing was changed" in answer.text
    assert "from here it may go to resolved" in answer.text


@pytest.mark.parametrize("fields", [{"status": "broken"}, {"note": "x" * 20_001}, {"severity": "worst"}, {}])
def test_form_that_breaks_a_rule_changes_nothing(
    visitor: Visit, opened: Opened, api: httpx2.Client, fields: dict[str, str]
) -> None:
    incident_id = opened("ruled")
    before, page = api.get(f"/v1/incidents/{incident_id}").json()["version"], f"/incidents/{incident_id}"
    answer = visitor("respond").send(page, f"{page}/change", **fields)
    assert answer.status_code == 422
    assert "Nothing was changed" in answer.text
    assert api.get(f"/v1/incidents/{incident_id}").json()["version"] == before


def test_address_of_a_form_leads_to_its_page_when_it_is_loaded_again(visitor: Visit) -> None:
    reader = visitor("read")
    for address, page in (
        ("/incidents/inc_1/change", "/incidents/inc_1"),
        ("/silences/sil_1/end", "/silences"),
        ("/logout", "/"),
    ):
        answer = reader.get(address)
        assert (answer.status_code, answer.headers["Location"]) == (303, page)
