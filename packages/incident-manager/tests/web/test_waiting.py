"""Deliveries that wait, silences, and what the pages say while something does not work."""

import re
from collections.abc import Callable

import httpx2
import pytest
from testing.service import eventually

from .conftest import Visitor, pages_from

Opened = Callable[..., str]
Visit = Callable[[str], Visitor]


def test_delivery_that_waits_is_shown_with_its_attempts_and_its_error(visitor: Visit, opened: Opened) -> None:
    opened("undelivered")
    reader = visitor("read")
    tried = re.compile(r"could not connect to 127.0.0.1 port 9.*?</td>\s*<td>.*?</td>\s*<td>[1-9]\d*</td>", re.DOTALL)
    eventually(lambda: reader.get("/deliveries?destination=ops").text, lambda text: bool(tried.search(text)))
    assert "<bdi>undelivered</bdi>" in "".join(pages_from(reader, "/deliveries?destination=ops"))
    assert "<bdi>undelivered</bdi>" not in reader.get("/deliveries?destination=elsewhere").text
    assert reader.get("/deliveries?after=x").status_code == 422


def test_deliveries_go_on_page_by_page(visitor: Visit, api: httpx2.Client) -> None:
    alerts = [{"title": f"queued {number}", "source": "queue"} for number in range(110)]
    api.post("/v1/alerts", json={"alerts": alerts}).raise_for_status()
    pages = pages_from(visitor("read"), "/deliveries")
    assert len(pages) > 1
    assert sorted(re.findall(r"<bdi>(queued \d+)</bdi>", "".join(pages))) == sorted(alert["title"] for alert in alerts)


def test_silence_is_made_shown_and_ended(visitor: Visit, opened: Opened, api: httpx2.Client) -> None:
    responder = visitor("respond")
    wanted = {"matchers": "host = web-*\nsource=quiet", "reason": "disks", "duration": "3600"}
    answer = responder.send("/silences", "/silences", **wanted)
    assert answer.headers["Location"] == "/silences?done=silenced"
    [silence] = api.get("/v1/silences?state=active").json()["silences"]
    assert silence["matchers"] == {"host": "web-*", "source": "quiet"}
    assert silence["created_by"] == "respond"
    held = opened("hushed", source="quiet", labels={"host": "web-1"})
    assert "held by a silence until" in responder.get(f"/incidents/{held}").text
    assert responder.send("/silences", f"/silences/{silence['id']}/end").headers["Location"] == "/silences?done=ended"
    assert api.get("/v1/silences?state=active").json()["silences"] == []
    audited = [entry["action"] for entry in api.get("/v1/audit").json()["entries"]]
    assert {"silence.create", "silence.end"} <= set(audited)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"matchers": "host"}, "matchers"),
        ({"matchers": "a=1\na=2"}, "matchers"),
        ({"matchers": ""}, "matchers"),
        ({"reason": ""}, "reason"),
        ({"duration": "x"}, "duration"),
        ({"duration": "-1"}, "duration"),
    ],
)
def test_silence_that_breaks_a_rule_is_refused_and_kept_in_the_form(
    visitor: Visit, fields: dict[str, str], named: str
) -> None:
    given = {"matchers": "host=a", "reason": "typed before", "duration": "3600", **fields}
    answer = visitor("respond").send("/silences", "/silences", **given)
    assert answer.status_code == 422
    assert f'role="alert">{named}: ' in answer.text
    assert f'value="{given["reason"]}"' in answer.text


def test_open_circuit_and_operators_word_are_told_on_every_page(visitor: Visit, api: httpx2.Client) -> None:
    reader = visitor("read")
    api.post("/v1/circuit-breakers/notify:ops/open", json={"reason": "<b>moved</b>"}).raise_for_status()
    try:
        for path in ("/", "/deliveries", "/silences"):
            text = reader.get(path).text
            assert "The circuit notify:ops is forced open by an operator: &lt;b&gt;moved&lt;/b&gt;." in text
    finally:
        api.post("/v1/circuit-breakers/notify:ops/reset").raise_for_status()


@pytest.mark.usefixtures("database_away")
def test_while_the_database_is_away_the_page_says_so_and_tells_what_is_known(
    visitor: Visit, api: httpx2.Client
) -> None:
    reader = visitor("read")
    api.post("/v1/alerts", json={"title": "meanwhile"}).raise_for_status()
    for path in ("/", "/incidents/inc_0198c0de7a7b7c0f8e9d0a1b2c3d4e5f", "/deliveries", "/silences"):
        answer = reader.get(path)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "The database cannot be used. Alerts are still accepted" in answer.text
        assert "1 alert in the journal" in answer.text
        assert "<td>database</td>" in answer.text


def test_what_was_typed_is_shown_when_the_database_is_away(
    visitor: Visit, opened: Opened, api: httpx2.Client, request: pytest.FixtureRequest
) -> None:
    responder, page = visitor("respond"), f"/incidents/{opened('lost?')}"
    form = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', responder.get(page).text))
    request.getfixturevalue("database_away")
    answer = responder.client.post(f"{page}/change", data={**form, "note": "an hour of work"})
    assert answer.status_code == 503
    assert "Nothing was changed" in answer.text
    assert "an hour of work" in answer.text


@pytest.mark.usefixtures("database_away")
def test_stranger_is_told_nothing_of_what_does_not_work(stranger: Visitor) -> None:
    text = stranger.get("/login").text
    assert "circuit" not in text
    assert "journal" not in text
