"""The pages of a real service that asks for tokens, and visitors who have signed in."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from testing.live import LiveApp
from testing.service import eventually

from incident_manager.app import create_app
from incident_manager.settings import Settings

TOKENS = {role: f"{role}-token-0123456789abcdef0123456789" for role in ("ingest", "read", "respond", "admin")}
PLENTY: Any = {"failure_rate": {"per_second": 1000, "burst": 10_000}}
NOBODY: Any = {"type": "webhook", "url": "http://127.0.0.1:9/hook", "allow_private": True}
"""A destination that nobody answers at."""


def settings(folder: Any, **more: Any) -> Settings:
    """Settings with a token for each role, named after it."""
    tokens: Any = {role: {"roles": [role], "token": token} for role, token in TOKENS.items()}
    return Settings(**{"data_dir": folder, "tokens": tokens, "access": PLENTY, **more})


class Visitor:
    """A browser without scripts: it keeps cookies and sends the forms it is shown."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client

    def get(self, path: str) -> httpx2.Response:
        """A page."""
        return self.client.get(path)

    def send(self, page: str, action: str, **fields: str) -> httpx2.Response:
        """Fill in the form of a page that leads to `action`, and send it."""
        form = form_to(self.get(page).text, action)
        return self.client.post(action, data={**form, **fields}, headers={"Origin": str(self.client.base_url)})

    def sign_in(self, token: str) -> httpx2.Response:
        """Show a token."""
        return self.send("/login", "/login", token=token)


def pages_from(visitor: Visitor, path: str) -> list[str]:
    """The text of a page, and of those that follow it."""
    found = [visitor.get(path).text]
    while later := re.search(r'rel="next" href="([^"]+)"', found[-1]):
        found.append(visitor.get(html.unescape(later[1])).text)
    return found


def form_to(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that leads to an address."""
    found = re.search(rf'<form method="post" action="{re.escape(action)}".*?</form>', page, re.DOTALL)
    assert found, f"no form to {action}"
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found[0]))


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """A service that asks for tokens; shared by the session."""
    made = settings(tmp_path_factory.mktemp("data"), destinations={"ops": NOBODY})
    with LiveApp(create_app(made)) as live:
        yield live


@pytest.fixture
def stranger(guarded: LiveApp) -> Iterator[Visitor]:
    """Somebody who has not signed in."""
    with guarded.client() as client:
        yield Visitor(client)


@pytest.fixture
def visitor(guarded: LiveApp) -> Iterator[Callable[[str], Visitor]]:
    """Gives somebody who has signed in with the token of a role."""
    clients: list[httpx2.Client] = []

    def signed_in(role: str) -> Visitor:
        clients.append(guarded.client())
        found = Visitor(clients[-1])
        answer = found.sign_in(TOKENS[role])
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
        return found

    yield signed_in
    for client in clients:
        client.close()


@pytest.fixture
def api(guarded: LiveApp) -> Iterator[httpx2.Client]:
    """A client of the API that may do everything."""
    with guarded.client() as client:
        client.headers["Authorization"] = f"Bearer {TOKENS['admin']}"
        yield client


@pytest.fixture
def opened(api: httpx2.Client) -> Callable[..., str]:
    """Opens an incident by an alert; returns its id."""

    def opened(title: str, **more: Any) -> str:
        alert = {"title": title, "dedup_key": title, **more}
        [accepted] = api.post("/v1/alerts", json=alert).raise_for_status().json()["alerts"]
        return str(accepted["incident_id"])

    return opened


@pytest.fixture
def database_away(api: httpx2.Client) -> Iterator[None]:
    """The database's circuit is open, as it is while the database cannot be used; afterwards the journal is empty."""
    api.post("/v1/circuit-breakers/database/open", json={"reason": "test"}).raise_for_status()
    yield
    api.post("/v1/circuit-breakers/database/reset").raise_for_status()
    eventually(lambda: api.get("/health").json()["journal"]["waiting"], lambda waiting: waiting == 0)
