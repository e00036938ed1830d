"""Callers show a token; each route asks for a role; nobody learns more than that."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from testing.live import LiveApp
from testing.service import eventually

from incident_manager.app import create_app
from incident_manager.settings import Settings

TOKENS = {role: f"{role}-token-0123456789abcdef0123456789" for role in ("ingest", "read", "respond", "admin")}
ALERT = {"title": "Disk is full", "dedup_key": "disk"}


def settings(folder: Path, **more: Any) -> Settings:
    tokens: Any = {f"{role}-bot": {"roles": [role], "token": token} for role, token in TOKENS.items()}
    return Settings(**{"data_dir": folder, "tokens": tokens, **more})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """A service that asks for tokens."""
    access: Any = {"failure_rate": {"per_second": 1000, "burst": 10_000}}
    with LiveApp(create_app(settings(tmp_path_factory.mktemp("data"), access=access))) as live:
        yield live


@pytest.fixture
def web(guarded: LiveApp) -> Iterator[httpx2.Client]:
    """A client without a token."""
    with guarded.client() as client:
        yield client


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_without_a_token_every_route_but_the_open_ones_is_closed(web: httpx2.Client) -> None:
    document = web.get("/openapi.json").raise_for_status().json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answer = web.request(method.upper(), path.replace("{", "").replace("}", ""))
            if operation["security"]:
                assert code(answer) == (401, "unauthenticated"), path
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="incident-manager"'
            else:
                assert answer.status_code == 200, path


def test_a_stranger_is_not_told_which_paths_exist(web: httpx2.Client) -> None:
    assert web.get("/v1/nothing").status_code == web.get("/v1/incidents").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("POST", "/v1/alerts", ALERT, {"ingest", "admin"}),
        ("GET", "/v1/incidents", None, {"read", "respond", "admin"}),
        ("POST", "/v1/incidents", {"title": "x", "severity": "low"}, {"respond", "admin"}),
        ("POST", "/v1/circuit-breakers/reset-all", None, {"admin"}),
        ("GET", "/v1/audit", None, {"admin"}),
        ("GET", "/v1/tokens", None, {"admin"}),
        ("GET", "/metrics", None, {"read", "respond", "admin"}),
    ],
)
def test_a_route_serves_those_with_its_role(
    web: httpx2.Client, method: str, path: str, body: Any, allowed: set[str]
) -> None:
    for role, token in TOKENS.items():
        answer = web.request(method, path, json=body, headers=bearer(token))
        if role in allowed:
            assert answer.is_success, (role, answer.text)
        else:
            assert code(answer) == (403, "forbidden"), role
            assert "WWW-Authenticate" not in answer.headers


def test_the_role_is_checked_before_the_body_is_read(web: httpx2.Client) -> None:
    answer = web.post("/v1/alerts", content=b"not JSON", headers=bearer(TOKENS["read"]))
    assert code(answer) == (403, "forbidden")


@pytest.mark.parametrize(
    "headers",
    [
        bearer("im_000000000000_" + "x" * 43),
        bearer(TOKENS["admin"] + "x"),
        bearer(TOKENS["admin"][:-1]),
        bearer(TOKENS["admin"].upper()),
        basic("admin", "wrong"),
        basic(TOKENS["admin"], ""),
        {"Authorization": TOKENS["admin"]},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"Authorization": "Digest username=x"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("path", ["/v1/incidents", "/health/live"])
def test_what_is_no_good_token_is_refused_everywhere(web: httpx2.Client, headers: dict[str, str], path: str) -> None:
    answer = web.get(path, headers=headers)
    assert code(answer) == (401, "unauthenticated")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert TOKENS["admin"] not in answer.text


def test_the_token_may_be_the_password(web: httpx2.Client) -> None:
    assert web.post("/v1/alerts", json=ALERT, headers=basic("anybody", TOKENS["ingest"])).status_code == 202


def test_a_token_in_the_address_opens_nothing(web: httpx2.Client) -> None:
    for name in ("token", "access_token", "key"):
        assert web.get("/v1/incidents", params={name: TOKENS["admin"]}).status_code == 401


def test_secrets_are_in_no_log(guarded: LiveApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with guarded.client() as client:
        client.get("/v1/tokens", headers=bearer(TOKENS["admin"])).raise_for_status()
        made = client.post(
            "/v1/tokens", json={"name": "new", "roles": ["read"]}, headers=bearer(TOKENS["admin"])
        ).json()
        client.get("/v1/incidents", headers=bearer(made["token"])).raise_for_status()
        client.get("/v1/incidents", headers=bearer("im_wrong_" + "y" * 40))
    for secret in (*TOKENS.values(), made["token"], "y" * 40):
        assert secret not in caplog.text


def test_a_token_is_shown_once_and_works_at_once_until_it_is_revoked(web: httpx2.Client) -> None:
    admin = bearer(TOKENS["admin"])
    answer = web.post("/v1/tokens", json={"name": "wallboard", "roles": ["read"]}, headers=admin)
    assert answer.status_code == 201
    made = answer.json()
    assert web.get("/v1/incidents", headers=bearer(made["token"])).status_code == 200
    [listed] = [each for each in web.get("/v1/tokens", headers=admin).json()["tokens"] if each["id"] == made["id"]]
    assert listed == {key: value for key, value in made.items() if key != "token"}
    revoked = web.delete(f"/v1/tokens/{made['id']}", headers=admin).raise_for_status().json()
    assert revoked["revoked_at"] is not None
    assert code(web.get("/v1/incidents", headers=bearer(made["token"]))) == (401, "unauthenticated")
    assert web.delete(f"/v1/tokens/{made['id']}", headers=admin).json() == revoked


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"roles": ["read"]}, "name"),
        ({"name": "x"}, "roles"),
        ({"name": "x", "roles": []}, "roles"),
        ({"name": "x", "roles": ["root"]}, "roles[0]"),
        ({"name": " ", "roles": ["read"]}, "name"),
        ({"name": "x", "roles": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "roles": ["read"], "expires_at": "2020-01-01T00:00:00"}, "expires_at"),
        ({"name": "x", "roles": ["read"], "expires_at": "9999-12-31T23:59:59-23:00"}, "expires_at"),
        ({"name": "x", "roles": ["read"], "secret": "mine"}, "secret"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused_by_name(web: httpx2.Client, body: Any, field: str) -> None:
    answer = web.post("/v1/tokens", json=body, headers=bearer(TOKENS["admin"]))
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field


def test_an_unknown_token_cannot_be_revoked(web: httpx2.Client) -> None:
    for token_id in ("000000000000", "settings:admin-bot", "%00", "%FF"):
        answer = web.delete(f"/v1/tokens/{token_id}", headers=bearer(TOKENS["admin"]))
        assert code(answer) == (404, "token_not_found")


def test_the_last_use_is_noted(tmp_path: Path) -> None:
    access: Any = {"refresh": 0.05}
    with LiveApp(create_app(settings(tmp_path, access=access))) as live, live.client() as client:
        admin = bearer(TOKENS["admin"])
        made = client.post("/v1/tokens", json={"name": "x", "roles": ["read"]}, headers=admin).json()
        client.get("/v1/incidents", headers=bearer(made["token"])).raise_for_status()
        eventually(
            lambda: client.get("/v1/tokens", headers=admin).json()["tokens"][0]["last_used_at"],
            lambda at: at is not None,
        )


def test_a_token_made_or_revoked_elsewhere_is_soon_known(tmp_path: Path) -> None:
    access: Any = {"refresh": 0.05, "failure_rate": {"per_second": 1000, "burst": 10_000}}
    admin = bearer(TOKENS["admin"])
    with (
        LiveApp(create_app(settings(tmp_path, access=access))) as one,
        LiveApp(create_app(settings(tmp_path, access=access))) as two,
        one.client() as here,
        two.client() as there,
    ):
        made = here.post("/v1/tokens", json={"name": "x", "roles": ["read"]}, headers=admin).json()

        def status() -> int:
            return there.get("/v1/incidents", headers=bearer(made["token"])).status_code

        eventually(status, lambda found: found == 200)
        here.delete(f"/v1/tokens/{made['id']}", headers=admin).raise_for_status()
        eventually(status, lambda found: found == 401)


def test_while_the_database_is_away_tokens_that_were_read_still_open(web: httpx2.Client) -> None:
    admin = bearer(TOKENS["admin"])
    made = web.post("/v1/tokens", json={"name": "sender", "roles": ["ingest", "read"]}, headers=admin).json()
    web.post("/v1/circuit-breakers/database/open", json={"reason": "test"}, headers=admin).raise_for_status()
    try:
        assert web.get("/v1/circuit-breakers", headers=bearer(made["token"])).status_code == 200
        assert code(web.post("/v1/alerts", json=ALERT, headers=bearer(made["token"]))) == (503, "store_unavailable")
    finally:
        web.post("/v1/circuit-breakers/database/reset", headers=admin).raise_for_status()


def test_after_a_long_outage_tokens_of_the_database_open_ingest_only(tmp_path: Path) -> None:
    access: Any = {"refresh": 0.05, "stale_after": 0.3}
    admin = bearer(TOKENS["admin"])
    with LiveApp(create_app(settings(tmp_path, access=access))) as live, live.client() as client:
        made = client.post("/v1/tokens", json={"name": "x", "roles": ["ingest", "read"]}, headers=admin).json()
        client.post("/v1/circuit-breakers/database/open", json={"reason": "test"}, headers=admin).raise_for_status()
        answer = eventually(
            lambda: client.get("/v1/circuit-breakers", headers=bearer(made["token"])), lambda it: it.status_code != 200
        )
        assert code(answer) == (503, "store_unavailable")
        assert "Retry-After" in answer.headers
        sent = client.post("/v1/alerts", json={"no": "alert"}, headers=bearer(made["token"]))
        assert sent.status_code == 422  # it was let in as far as its body
        client.get(
            "/v1/circuit-breakers", headers=admin
        ).raise_for_status()  # a token of the settings needs no database
        client.post("/v1/circuit-breakers/database/reset", headers=admin).raise_for_status()
        eventually(lambda: client.get("/v1/incidents", headers=bearer(made["token"])).status_code, lambda it: it == 200)


def test_tokens_of_the_settings_may_be_given_by_their_hash(tmp_path: Path) -> None:
    from incident_manager.access.tokens import DIGEST_PREFIX, digest_of

    tokens: Any = {"ops": {"roles": ["read"], "hash": DIGEST_PREFIX + digest_of("a" * 40)}}
    with LiveApp(create_app(Settings(data_dir=tmp_path, tokens=tokens))) as live, live.client() as client:
        assert client.get("/v1/incidents", headers=bearer("a" * 40)).status_code == 200
        assert client.get("/v1/incidents", headers=bearer("b" * 40)).status_code == 401


def test_a_token_of_the_settings_that_has_expired_opens_nothing(tmp_path: Path) -> None:
    tokens: Any = {"ops": {"roles": ["read"], "token": "a" * 40, "expires_at": "2020-01-01T00:00:00Z"}}
    with LiveApp(create_app(Settings(data_dir=tmp_path, tokens=tokens))) as live, live.client() as client:
        answer = client.get("/v1/incidents", headers=bearer("a" * 40))
        assert answer.json()["error"]["message"] == "the token has expired"


# Without tokens


Serve = Callable[..., LiveApp]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a service; it is stopped after the test."""
    started: list[LiveApp] = []

    def start(**more: Any) -> LiveApp:
        started.append(LiveApp(create_app(Settings(data_dir=tmp_path, **more))).start())
        return started[-1]

    yield start
    for live in started:
        live.stop()


def test_on_this_machine_nobody_is_asked_and_the_log_says_so(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve().client() as client:
        assert client.get("/v1/incidents").status_code == 200
    assert "every program of this machine may do everything" in caplog.text


def test_from_the_first_token_on_everybody_is_asked(serve: Serve) -> None:
    with serve().client() as client:
        made = client.post("/v1/tokens", json={"name": "ops", "roles": ["admin"]}).raise_for_status().json()
        assert client.get("/v1/incidents").status_code == 401
        client.delete(f"/v1/tokens/{made['id']}", headers=bearer(made["token"])).raise_for_status()
        assert client.get("/v1/incidents").status_code == 401  # also when the last one is revoked


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", "[", ""])
def test_where_nobody_is_asked_names_of_others_are_not_answered(serve: Serve, host: str) -> None:
    with serve().client() as client:
        answer = client.get("/v1/incidents", headers={"Host": host})
        assert code(answer) == (403, "foreign_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "app.localhost", "192.0.2.1:80", "[::1]:80"])
def test_where_nobody_is_asked_own_names_and_addresses_are_answered(serve: Serve, host: str) -> None:
    with serve().client() as client:
        assert client.get("/v1/incidents", headers={"Host": host}).status_code == 200


def test_a_network_is_not_listened_to_without_a_token(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        serve(host="0.0.0.0")
    assert "host 0.0.0.0 is open to the network and no token is set" in caplog.text


def test_a_network_is_listened_to_with_a_token_or_when_told_to_ask_nobody(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    tokens: Any = {"ops": {"roles": ["read"], "token": "a" * 40}}
    with serve(host="0.0.0.0", tokens=tokens).client() as client:
        assert client.get("/v1/incidents").status_code == 401
    with serve(host="0.0.0.0", auth="none").client() as client:
        assert client.get("/v1/incidents", headers={"Host": "incidents.example"}).status_code == 200
    assert "whoever reaches 0.0.0.0 may do everything" in caplog.text


def test_metrics_may_be_open(serve: Serve) -> None:
    tokens: Any = {"ops": {"roles": ["ingest"], "token": "a" * 40}}
    access: Any = {"metrics": "open"}
    with serve(tokens=tokens, access=access).client() as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/health").status_code == 401


# How often


def test_a_token_that_asks_too_often_is_told_when_to_come_back(serve: Serve) -> None:
    tokens: Any = {"a": {"roles": ["read"], "token": "a" * 40}, "b": {"roles": ["read", "ingest"], "token": "b" * 40}}
    access: Any = {"rate": {"per_second": 0.01, "burst": 3}}
    with serve(tokens=tokens, access=access).client() as client:
        answers = [client.get("/v1/incidents", headers=bearer("a" * 40)) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert code(answers[-1]) == (429, "rate_limited")
        assert 90 <= int(answers[-1].headers["Retry-After"]) <= 100
        assert client.get("/v1/incidents", headers=bearer("b" * 40)).status_code == 200
        for number in range(5):  # alerts have a rate of their own
            alert = {"title": "x", "dedup_key": str(number)}
            assert client.post("/v1/alerts", json=alert, headers=bearer("b" * 40)).status_code == 202


def test_an_address_that_fails_too_often_is_told_to_wait_and_a_good_token_still_opens(serve: Serve) -> None:
    tokens: Any = {"a": {"roles": ["read"], "token": "a" * 40}}
    access: Any = {"failure_rate": {"per_second": 0.01, "burst": 2}}
    with serve(tokens=tokens, access=access).client() as client:
        statuses = [client.get("/v1/incidents", headers=bearer("wrong")).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert client.get("/v1/incidents").status_code == 429
        assert client.get("/v1/incidents", headers=bearer("a" * 40)).status_code == 200
