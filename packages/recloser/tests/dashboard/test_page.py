"""The page as a server sends it, without any script."""

import re
from collections.abc import Callable

import fastapi
import httpx2
import litestar
import pytest
import starlette.applications
from litestar.handlers import asgi
from packages.recloser.tests.dashboard.conftest import TOKEN, client_of, fail
from starlette.routing import Mount

from recloser import Registry
from recloser.dashboard import Dashboard, dashboard
from recloser.testing import FakeClock


def cards(page: str) -> list[str]:
    """The names on the cards, in their order; the templates are none."""
    shown = page.partition("<template")[0]
    return re.findall(r'<h3><a data-link href="[^"]*"><bdi data-text="name">([^<]*)</bdi>', shown)


async def test_card_says_what_a_person_on_call_must_know(registry: Registry, client: httpx2.AsyncClient) -> None:
    fail(registry, "payments", "connection refused by 10.0.3.17")
    page = (await client.get("/")).text
    for words in ("payments", "Open", "Next probe in 30 s", "ConnectionError: connection refused by 10.0.3.17"):
        assert f">{words}<" in page
    assert "(1 open) Circuit breakers" in page
    assert ">consecutive failures: ConnectionError: connection refused by 10.0.3.17<" in page


async def test_most_urgent_breakers_come_first(registry: Registry, client: httpx2.AsyncClient) -> None:
    for name in ("closed-b", "closed-a", "observed", "held"):
        registry.get_or_create(name)
    registry["observed"].observe_only("trying settings")
    registry["held"].force_open("maintenance")
    fail(registry, "broken")
    assert cards((await client.get("/")).text) == ["broken", "held", "observed", "closed-a", "closed-b"]


async def test_countdown_follows_the_clock_of_the_breaker(
    registry: Registry, client: httpx2.AsyncClient, clock: FakeClock
) -> None:
    fail(registry, "payments")
    clock.advance(12.5)
    assert ">Next probe in 18 s<" in (await client.get("/")).text
    clock.advance(17.5)
    assert ">Next call is a probe<" in (await client.get("/")).text


async def test_open_breaker_that_only_observes_lets_calls_through(
    registry: Registry, client: httpx2.AsyncClient
) -> None:
    fail(registry, "payments")
    registry["payments"].observe_only("trying settings")
    page = (await client.get("/breaker?name=payments")).text
    assert 'data-state="open" data-control="observe_only"' in page
    assert ">Calls go through<" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["http:a", "payments", "PayPal"]),
        ("q=pay", ["payments", "PayPal"]),
        ("q=nothing", []),
        ("state=open", ["http:a"]),
        ("state=closed", ["payments", "PayPal"]),
        ("state=held", ["payments"]),
        ("group=http", ["http:a"]),
        ("group=money", ["PayPal"]),
        ("q=pay&state=held", ["payments"]),
    ],
)
async def test_filter_works_without_a_script(
    registry: Registry, client: httpx2.AsyncClient, query: str, expected: list[str]
) -> None:
    registry.group("money").get_or_create("PayPal")
    registry.get_or_create("payments").disable("being replaced")
    registry.keyed("http")["a"]
    fail(registry, "http:a")
    assert cards((await client.get(f"/?{query}")).text) == expected


async def test_unknown_state_to_filter_by_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/?state=broken")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "state='broken': must be one of open, half_open, closed, held"


async def test_thousands_of_breakers_make_a_page_of_a_hundred(registry: Registry, client: httpx2.AsyncClient) -> None:
    for number in range(1_500):
        registry.get_or_create(f"host-{number:04}")
    fail(registry, "host-1499")
    page = (await client.get("/")).text
    assert len(cards(page)) == 100
    assert cards(page)[0] == "host-1499"
    assert "The 100 most urgent of 1,500: filter to see the others" in page
    assert cards((await client.get("/?q=host-1234")).text) == ["host-1234"]


async def test_groups_and_keyed_breakers_are_counted(registry: Registry, client: httpx2.AsyncClient) -> None:
    hosts = registry.keyed("http", max_breakers=2)
    for host in "abc":
        hosts[host]
    fail(registry, "http:c")
    registry.group("reports").get_or_create("warehouse")
    page = (await client.get("/")).text
    assert ">2 of at most 2, 1 forgotten<" in page
    assert ">1 not closed<" in page
    assert ">all closed<" in page


HOSTILE = "<script>alert(1)</script>\"'&\u202e\ud800\n/../%2e?#"


async def test_hostile_texts_are_text(registry: Registry, client: httpx2.AsyncClient) -> None:
    fail(registry, HOSTILE, HOSTILE)
    registry.group(HOSTILE).get_or_create("grouped")
    registry[HOSTILE].force_open(HOSTILE)
    for address in ("/", f"/breaker?name={link(await client.get('/'))}", "/?q=<script>", "/?group=<script>"):
        answer = await client.get(address)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert 'value="<script>' not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;\u202e\\ud800" in answer.text


def link(answer: httpx2.Response) -> str:
    return re.findall(r'<h3><a data-link href="breaker\?name=([^"]+)"', answer.text)[0]


async def test_breaker_has_a_page_with_its_settings_and_its_own_history(
    registry: Registry, client: httpx2.AsyncClient
) -> None:
    fail(registry, "payments")
    fail(registry, "search")
    page = (await client.get("/breaker", params={"name": "payments"})).text
    assert ">open_for</code></dt><dd><code>30<" in page
    assert page.count("opened for 30 s") == 1


async def test_page_of_a_breaker_that_is_gone_says_so(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/breaker?name=gone")
    assert answer.status_code == 404
    assert "There is no breaker of this name" in answer.text


async def test_history_names_reasons_newest_first(
    registry: Registry, client: httpx2.AsyncClient, clock: FakeClock
) -> None:
    fail(registry, "payments")
    clock.advance(60)
    registry["payments"].force_closed("the provider is back")
    registry["payments"].reset("all is well")
    lines = re.findall(r'<li data-number="(\d+)" data-kind="(\w+)">', (await client.get("/")).text)
    assert [int(number) for number, _ in lines] == list(range(len(lines), 0, -1))
    assert [kind for _, kind in lines][-1] == "open"
    page = (await client.get("/")).text
    assert ">the provider is back<" in page
    assert ">all is well<" in page
    assert 'datetime="2026-01-01T00:01:00.000+00:00">Jan 01 00:01:00<' in page


async def test_history_is_bounded(registry: Registry, client: httpx2.AsyncClient) -> None:
    breaker = registry.get_or_create("payments")
    for number in range(600):
        breaker.force_open(f"reason {number}")
        breaker.automatic("back")
    answer = (await client.get("/api/changes?limit=1000")).json()
    assert len(answer["changes"]) == 1_000
    assert {answer["changes"][0]["detail"], answer["changes"][1]["reason"]} == {"back"}


# What every answer has


@pytest.mark.parametrize(
    "address", ["/", "/breaker?name=payments", "/static/dashboard.css", "/api/breakers", "/nothing", "/?state=x"]
)
async def test_every_answer_is_safe_and_never_stored(
    registry: Registry, client: httpx2.AsyncClient, address: str
) -> None:
    registry.get_or_create("payments")
    headers = (await client.get(address)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


async def test_page_has_no_script_or_style_of_its_own(registry: Registry, client: httpx2.AsyncClient) -> None:
    fail(registry, "payments")
    for address in ("/", "/breaker?name=payments"):
        page = (await client.get(address)).text
        assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="static/dashboard.js">']
        assert "</script>" in page
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)


@pytest.mark.parametrize("address", ["/", "/static/dashboard.js", "/api/breakers", "/events", "/nothing"])
async def test_head_is_get_without_a_body(client: httpx2.AsyncClient, address: str) -> None:
    answer = await client.head(address)
    assert answer.status_code == (404 if address == "/nothing" else 200)
    assert answer.content == b""
    if address.startswith("/static"):
        assert answer.headers["content-length"] == str(len((await client.get(address)).content))


async def test_wrong_method_is_told_which_are_right(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    answer = await client.get("/api/control")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_query_that_is_not_utf8_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/?q=%ff%fe")).status_code == 400


# Where it is mounted


def in_starlette(page: Dashboard) -> object:
    return starlette.applications.Starlette(routes=[Mount("/ops", routes=[Mount("/breakers", page)])])


def in_fastapi(page: Dashboard) -> object:
    app = fastapi.FastAPI()
    app.mount("/ops/breakers", page)
    return app


def in_litestar(page: Dashboard) -> object:
    return litestar.Litestar([asgi("/ops/breakers", is_mount=True, copy_scope=True)(page)], logging_config=None)


@pytest.mark.parametrize("mount", [in_starlette, in_fastapi, in_litestar])
async def test_works_below_the_path_where_it_is_mounted(
    registry: Registry, make: Callable[..., Dashboard], mount: Callable[[Dashboard], object]
) -> None:
    registry.get_or_create("payments")
    async with client_of(mount(make(token=TOKEN))) as client:
        page = await client.get("/ops/breakers/")
        assert cards(page.text) == ["payments"]
        for address in re.findall(r'(?:href|src|action)="([^"#]+)"', page.text.partition("<template")[0]):
            assert not address.startswith("/"), "an address that ignores the mount"
            answer = await client.get(f"/ops/breakers/{address}")
            assert answer.status_code == (405 if address == "control" else 200), address


@pytest.mark.parametrize("mount", [in_starlette, in_fastapi, in_litestar])
async def test_address_without_a_slash_leads_to_the_page(
    make: Callable[..., Dashboard], mount: Callable[[Dashboard], object]
) -> None:
    async with client_of(mount(make())) as client:
        answer = await client.get("/ops/breakers")
        assert answer.status_code == 307
        assert answer.next_request is not None
        assert answer.next_request.url.path == "/ops/breakers/"


async def test_server_may_keep_the_root_path_out_of_the_path(make: Callable[..., Dashboard]) -> None:
    transport = httpx2.ASGITransport(app=make(), root_path="/ops/breakers")
    async with httpx2.AsyncClient(transport=transport, base_url="http://ops.internal") as client:
        for address in ("/ops/breakers/", "/"):
            assert (await client.get(address)).status_code == 200
        assert (await client.get("/ops/breakers")).headers["location"] == "./breakers/"


async def test_lifespan_of_a_server_is_answered(registry: Registry) -> None:
    asked = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    answered = []

    async def receive() -> dict[str, str]:
        return next(asked)

    async def send(message: dict[str, str]) -> None:
        answered.append(message["type"])

    await dashboard(registry)({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
    assert answered == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_websocket_is_closed(app: Dashboard) -> None:
    answered = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, str]) -> None:
        answered.append(message["type"])

    await app({"type": "websocket"}, receive, send)  # type: ignore[arg-type]
    assert answered == ["websocket.close"]


async def test_page_leads_back_to_the_one_it_belongs_to(registry: Registry) -> None:
    app = dashboard(registry, home="/?a=1&b=2")
    try:
        async with client_of(app) as client:
            assert '<a href="/?a=1&amp;b=2">Back</a>' in (await client.get("/")).text
    finally:
        app.close()


@pytest.mark.parametrize("home", ["", "javascript:alert(1)", "incidents"])
def test_address_that_is_none_to_lead_back_to_is_refused(registry: Registry, home: str) -> None:
    with pytest.raises(ValueError, match=r"home=.*: must begin with /"):
        dashboard(registry, home=home)
