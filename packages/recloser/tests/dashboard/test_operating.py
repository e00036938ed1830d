"""Who may operate breakers from the page, and what comes of it."""

import logging
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from packages.recloser.tests.dashboard.conftest import AUTHORIZED, TOKEN, client_of, fail

from recloser import Control, Registry, State
from recloser.dashboard import AuditRecord, Dashboard, dashboard

ORDER = {"breaker": "payments", "operation": "open", "reason": "the provider is moving"}


async def order(client: httpx2.AsyncClient, headers: dict[str, str] = AUTHORIZED, **changes: Any) -> httpx2.Response:
    return await client.post("/api/control", json={**ORDER, **changes}, headers=headers)


@pytest.fixture(autouse=True)
def payments(registry: Registry) -> None:
    registry.get_or_create("payments")


@pytest.mark.parametrize(
    ("operation", "control", "state"),
    [
        ("open", Control.FORCED_OPEN, State.OPEN),
        ("close", Control.FORCED_CLOSED, State.CLOSED),
        ("observe", Control.OBSERVE_ONLY, State.OPEN),
        ("automatic", Control.AUTOMATIC, State.OPEN),
        ("reset", Control.AUTOMATIC, State.CLOSED),
    ],
)
async def test_order_is_carried_out(
    registry: Registry, client: httpx2.AsyncClient, operation: str, control: Control, state: State
) -> None:
    fail(registry, "payments")
    answer = await order(client, operation=operation)
    assert answer.status_code == 200
    assert (registry["payments"].control, registry["payments"].state) == (control, state)
    assert answer.json()["breaker"]["control"] == control
    assert answer.json()["breaker"]["state"] == state


async def test_history_names_the_person_and_the_reason(registry: Registry, make: Callable[..., Dashboard]) -> None:
    async with client_of(make(authorize=lambda scope: "alice")) as client:
        await order(client, {})
        registry["payments"].reset("by a program")
        changes = (await client.get("/api/changes?name=payments")).json()["changes"]
        page = (await client.get("/")).text
    assert [change["who"] for change in changes if change["event"] == "ControlChanged"][-1] == "alice"
    assert [change["who"] for change in changes if change["event"] == "BreakerReset"] == [None]
    assert ">by alice<" in page
    assert registry["payments"].control_reason is None


async def test_later_change_with_the_same_reason_is_not_of_the_same_person(
    registry: Registry, make: Callable[..., Dashboard]
) -> None:
    async with client_of(make(authorize=lambda scope: "alice")) as client:
        await order(client, {}, operation="observe")
        registry["payments"].force_closed(ORDER["reason"])
        changes = (await client.get("/api/changes?name=payments")).json()["changes"]
    assert [(change["to_control"], change["who"]) for change in changes] == [
        ("forced_closed", None),
        ("observe_only", "alice"),
    ]


# Who may


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}])
async def test_without_the_token_nothing_is_done(
    registry: Registry, client: httpx2.AsyncClient, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = await order(client, headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert registry["payments"].control is Control.AUTOMATIC
    assert re.search("refused to let .* operate breakers: the token is missing or is not the right one", caplog.text)


async def test_page_without_a_token_is_read_only(registry: Registry, make: Callable[..., Dashboard]) -> None:
    async with client_of(make()) as client:
        assert (await order(client)).json()["error"] == "read_only"
        for address in ("/", "/breaker?name=payments"):
            page = (await client.get(address)).text
            assert '<form class="control"' not in page
            assert "Operate" not in page
    assert registry["payments"].control is Control.AUTOMATIC


async def test_everybody_may_where_that_was_asked_for(registry: Registry, make: Callable[..., Dashboard]) -> None:
    async with client_of(make(anonymous_control=True)) as client:
        assert (await order(client, {})).json()["who"] == "anonymous"
        assert "Token" not in (await client.get("/")).text
    assert registry["payments"].control is Control.FORCED_OPEN


async def only_alice(scope: Any) -> str | None:
    person = dict(scope["headers"]).get(b"x-person")
    return "alice" if person == b"alice" else None


@pytest.mark.parametrize("name", ["alice", "bob"])
async def test_host_application_says_who_may(registry: Registry, make: Callable[..., Dashboard], name: str) -> None:
    async with client_of(make(authorize=only_alice)) as client:
        client.headers["x-person"] = name
        answer = await order(client, {})
        page = (await client.get("/")).text
    assert answer.status_code == (200 if name == "alice" else 403)
    assert registry["payments"].control is (Control.FORCED_OPEN if name == "alice" else Control.AUTOMATIC)
    assert ('<form class="control"' in page) == (name == "alice")


async def test_answer_of_authorize_that_names_nobody_is_an_error(make: Callable[..., Dashboard]) -> None:
    async with client_of(make(authorize=lambda scope: True)) as client:
        with pytest.raises(TypeError, match="authorize returned True: must be the name of a person, or None"):
            await order(client, {})


@pytest.mark.parametrize("token", ["", "short", "a token with spaces in it", "ends-with-a-newline\n", "пароль" * 4])
def test_token_that_cannot_serve_is_refused_and_not_shown(registry: Registry, token: str) -> None:
    with pytest.raises(ValueError, match=r"^token: must be a text of 16 ASCII characters or more") as error:
        dashboard(registry, token=token)
    assert not token or token not in str(error.value)


def test_two_ways_to_be_allowed_are_refused(registry: Registry) -> None:
    with pytest.raises(ValueError, match="give one of token, authorize and anonymous_control"):
        dashboard(registry, token=TOKEN, authorize=only_alice)


# What an order must be


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"breaker": "payment"}, 404, "breaker='payment': there is no breaker of this name"),
        ({"breaker": None}, 422, "breaker=None: must be a text"),
        ({"operation": "explode"}, 422, "operation='explode': must be one of open, close, observe, automatic, reset"),
        ({"reason": " \n "}, 422, "reason: must have 1 to 500 characters"),
        ({"reason": "x" * 501}, 422, "reason: must have 1 to 500 characters"),
        ({"reason": 7}, 422, "reason=7: must be a text"),
    ],
)
async def test_wrong_order_is_refused_with_the_field_and_the_rule(
    registry: Registry, client: httpx2.AsyncClient, changes: dict[str, Any], status: int, detail: str
) -> None:
    answer = await order(client, **changes)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)
    assert registry["payments"].control is Control.AUTOMATIC


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"\xff", 400), (b"[1]", 422), (b"[" * 9_000, 400), (b" " * 20_000, 413)]
)
async def test_body_that_is_no_order_is_refused(client: httpx2.AsyncClient, body: bytes, status: int) -> None:
    headers = {**AUTHORIZED, "content-type": "application/json"}
    assert (await client.post("/api/control", content=body, headers=headers)).status_code == status


# Requests that other sites make


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none", "origin": "http://ops.internal"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
async def test_request_of_another_site_is_refused(
    registry: Registry, make: Callable[..., Dashboard], headers: dict[str, str]
) -> None:
    async with client_of(make(anonymous_control=True)) as client:
        assert (await order(client, headers)).json()["error"] == "other_origin"
        assert (await client.post("/control", data={}, headers=headers)).json()["error"] == "other_origin"
    assert registry["payments"].control is Control.AUTOMATIC


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "same-origin"}, {"origin": "http://OPS.internal"}, {}])
async def test_request_of_the_page_itself_or_of_a_program_is_taken(
    make: Callable[..., Dashboard], headers: dict[str, str]
) -> None:
    async with client_of(make(anonymous_control=True)) as client:
        assert (await order(client, headers)).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_what_a_form_of_another_site_can_send_is_no_order(
    make: Callable[..., Dashboard], content_type: str
) -> None:
    async with client_of(make(anonymous_control=True)) as client:
        answer = await client.post("/api/control", content=b"{}", headers={"content-type": content_type})
        assert answer.status_code == 415


# The form, which needs no script


async def form_of(client: httpx2.AsyncClient, **changes: str) -> dict[str, str]:
    page = (await client.get("/breaker?name=payments")).text
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    filled = {"operation": "open", "reason": "the provider is moving", "token": TOKEN, "confirm": "yes"}
    return {**hidden, **filled, **changes}


async def test_form_is_carried_out_and_leads_back_to_the_breaker(
    registry: Registry, client: httpx2.AsyncClient
) -> None:
    answer = await client.post("/control", data=await form_of(client))
    assert (answer.status_code, answer.headers["location"]) == (303, "breaker?name=payments")
    assert registry["payments"].control is Control.FORCED_OPEN
    assert ">the provider is moving<" in (await client.get("/breaker?name=payments")).text


@pytest.mark.parametrize(
    ("changes", "status", "problem"),
    [
        ({"token": "wrong"}, 401, "the token is missing or is not the right one"),
        ({"confirm": ""}, 422, "confirm: must be ticked"),
        ({"reason": "  "}, 422, "reason: must have 1 to 500 characters"),
        ({"operation": ""}, 422, "operation=&#x27;&#x27;: must be one of"),
        ({"form_token": "of-another-browser-altogether"}, 403, "the form is too old or not from this page"),
    ],
)
async def test_wrong_form_is_shown_again_with_what_was_wrong(
    registry: Registry, client: httpx2.AsyncClient, changes: dict[str, str], status: int, problem: str
) -> None:
    answer = await client.post("/control", data=await form_of(client, **changes))
    assert answer.status_code == status
    assert f'<p class="problem" role="alert">{problem}' in answer.text
    assert TOKEN not in answer.text
    assert registry["payments"].control is Control.AUTOMATIC


async def test_form_is_refused_without_the_cookie_that_came_with_it(
    registry: Registry, client: httpx2.AsyncClient
) -> None:
    filled = await form_of(client)
    client.cookies.clear()
    assert (await client.post("/control", data=filled)).status_code == 403
    assert registry["payments"].control is Control.AUTOMATIC


async def test_cookies_may_come_in_several_headers(registry: Registry, client: httpx2.AsyncClient) -> None:
    filled = await form_of(client)
    cookie = f"recloser_form={client.cookies['recloser_form']}"
    client.cookies.clear()
    answer = await client.post("/control", data=filled, headers=[("cookie", cookie), ("cookie", "theme=dark")])
    assert answer.status_code == 303
    assert registry["payments"].control is Control.FORCED_OPEN


async def test_cookie_is_for_this_page_only(client: httpx2.AsyncClient, app: Dashboard) -> None:
    cookie = (await client.get("/")).headers["set-cookie"]
    assert re.fullmatch(r"recloser_form=[\w-]{32}; HttpOnly; SameSite=Strict", cookie)
    assert "set-cookie" not in (await client.get("/")).headers
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="https://ops.internal") as secure:
        assert (await secure.get("/")).headers["set-cookie"].endswith("; Secure")


# What is on record


async def test_every_operation_is_audited(make: Callable[..., Dashboard]) -> None:
    told: list[AuditRecord] = []

    async def audit(record: AuditRecord) -> None:
        told.append(record)

    async with client_of(make(authorize=lambda scope: "alice", audit=audit)) as client:
        done = (await order(client, {})).json()
        await order(client, {}, operation="explode")
    [record] = told
    assert (record.who, record.breaker, record.operation, record.reason) == ("alice", *ORDER.values())
    assert record.time.isoformat() == done["time"]


async def test_every_operation_is_logged_in_one_line(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "recloser.dashboard"):
        await order(client, reason="moving\nERROR forged line")
    [record] = [record for record in caplog.records if record.name == "recloser.dashboard"]
    assert record.getMessage() == "'token' operated circuit 'payments': open (moving ERROR forged line)"
    assert vars(record)["who"] == "token"
    assert TOKEN not in caplog.text


async def test_audit_that_fails_is_logged_and_what_was_done_stays_done(
    registry: Registry, make: Callable[..., Dashboard], caplog: pytest.LogCaptureFixture
) -> None:
    def audit(record: AuditRecord) -> None:
        raise OSError("disk full")

    async with client_of(make(token=TOKEN, audit=audit)) as client:
        assert (await order(client)).status_code == 200
    assert registry["payments"].control is Control.FORCED_OPEN
    assert "the audit of an operation on circuit 'payments' failed" in caplog.text
