"""Files that change are taken over while the service runs, as a whole or not at all."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from testing.live import LiveApp
from testing.receiver import Receiver
from testing.service import eventually

from incident_manager.app import create_app
from incident_manager.config_errors import InvalidSettingsError, Problem
from incident_manager.reload import Reload, Reloadable
from incident_manager.settings.load import SettingsSource

CATALOG = {"services": {"shop": {"owner": "payments", "tier": 1, "runbook": "https://runbooks.example.org/shop"}}}


class Running:
    """A service whose files tests change."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.folder = folder
        self.receiver = receiver
        self.config: dict[str, Any] = {
            "data_dir": str(folder / "data"),
            "reload_interval": None,
            "destinations": {"ops": self.webhook()},
            "catalog": {"file": str(folder / "catalog.yaml")},
        }
        self.write("catalog.yaml", CATALOG)
        self.write("settings.yaml", self.config)
        source = SettingsSource(folder / "settings.yaml")
        self.live = LiveApp(create_app(source.load(), source=source))

    def webhook(self) -> dict[str, Any]:
        return {"type": "webhook", "url": self.receiver.url, "allow_private": True}

    def write(self, name: str, content: Mapping[str, Any] | str) -> None:
        text = content if isinstance(content, str) else yaml.safe_dump(dict(content))
        (self.folder / name).write_text(text, encoding="utf-8")

    def reload(self, client: httpx2.Client, expected: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """Ask for a reload, and return what health says of it when it is as expected."""
        self.live.app.state.reload()
        return eventually(lambda: client.get("/health").json()["configuration_problems"], expected)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def running(tmp_path: Path, receiver: Receiver) -> Iterator[Running]:
    running = Running(tmp_path, receiver)
    with running.live:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[httpx2.Client]:
    with running.live.client() as client:
        yield client


def open_incident(client: httpx2.Client, **fields: Any) -> Any:
    body = {"title": "Checkout is slow", "severity": "high", **fields}
    return client.post("/v1/incidents", json=body).raise_for_status().json()


def breakers(client: httpx2.Client) -> set[str]:
    listed = client.get("/v1/circuit-breakers").raise_for_status().json()["circuit_breakers"]
    return {breaker["name"] for breaker in listed}


def told(client: httpx2.Client, incident: Any) -> list[str]:
    shown = client.get(f"/v1/incidents/{incident['id']}").raise_for_status().json()
    return [notification["destination"] for notification in shown["notifications"]]


def test_destinations_routes_and_breakers_are_taken_over(running: Running, client: httpx2.Client) -> None:
    running.write(
        "settings.yaml",
        {
            **running.config,
            "destinations": {"desk": running.webhook(), "pager": running.webhook()},
            "routes": [{"destinations": ["desk"]}, {"owners": ["pay*"], "tiers": [1], "destinations": ["pager"]}],
            "breakers": {"notify:desk": {"failure_threshold": 1, "open_for": 1000}},
        },
    )
    running.live.app.state.reload()
    eventually(lambda: breakers(client), lambda names: names == {"database", "notify:desk", "notify:pager"})
    running.receiver.status = 503
    other = open_incident(client)
    eventually(lambda: client.get("/v1/circuit-breakers/notify:desk").json()["state"], lambda state: state == "open")
    assert told(client, other) == ["desk"]
    running.receiver.status = 200
    shop = open_incident(client, labels={"service": "shop"})
    assert told(client, shop) == ["desk", "pager"]
    received = eventually(lambda: running.receiver.requests, lambda requests: len(requests) == 2)
    assert received[1].json["data"]["incident"]["service"]["runbook"] == "https://runbooks.example.org/shop"


def test_file_that_is_refused_changes_nothing_and_health_says_so(running: Running, client: httpx2.Client) -> None:
    bad = {**running.config, "destinations": {"desk": running.webhook()}, "routes": [{"destinations": ["nobody"]}]}
    running.write("settings.yaml", bad)
    problems = running.reload(client, lambda problems: "settings" in problems)
    assert "routes[0].destinations[0]: must be the name of a destination" in problems["settings"]
    assert breakers(client) == {"database", "notify:ops"}
    assert client.get("/health").json()["status"] == "degraded"
    running.write("settings.yaml", running.config)
    running.reload(client, lambda problems: not problems)


def test_settings_with_a_catalogue_that_is_refused_change_nothing(running: Running, client: httpx2.Client) -> None:
    running.write("catalog.yaml", "services: {shop: {owners: a}}")
    running.write("settings.yaml", {**running.config, "destinations": {}})
    problems = running.reload(client, lambda problems: problems.keys() == {"settings", "catalog"})
    assert "services.shop.owners: unknown key" in problems["settings"]
    assert breakers(client) == {"database", "notify:ops"}


def test_what_needs_a_restart_is_named_and_the_rest_is_taken_over(
    running: Running, client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    other = {**running.config, "port": 1, "retention": {"incidents": 1}, "destinations": {"desk": running.webhook()}}
    running.write("settings.yaml", other)
    problems = running.reload(client, lambda problems: "settings" in problems)
    assert problems["settings"] == "changes of port, retention need a restart and are not in force"
    assert breakers(client) == {"database", "notify:desk"}
    assert any(problems["settings"] in record.message for record in caplog.records)


def test_catalogue_that_is_gone_or_broken_leaves_the_last_good_one(running: Running, client: httpx2.Client) -> None:
    incident = open_incident(client, labels={"service": "shop"})

    def owner() -> Any:
        return client.get(f"/v1/incidents/{incident['id']}").raise_for_status().json()["service"]["owner"]

    assert owner() == "payments"
    (running.folder / "catalog.yaml").unlink()
    assert "cannot be read" in running.reload(client, lambda problems: "catalog" in problems)["catalog"]
    assert owner() == "payments"
    running.write("catalog.yaml", {"services": {"shop": {"owner": "web"}}})
    running.reload(client, lambda problems: not problems)
    assert owner() == "web"


class Taker:
    """Takes a file over, and counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.encoding = "utf-8"
        self.taken: list[str] = []
        self.reload = Reload({"catalog": Reloadable(lambda: self.path, self.take)}, every=None)

    async def take(self) -> bool:
        text = self.path.read_text(self.encoding)
        if text == "bad":
            raise InvalidSettingsError([Problem(str(self.path), "a", "must be good")])
        self.taken.append(text)
        return True


@pytest.fixture
def taker(tmp_path: Path) -> Taker:
    (tmp_path / "file").write_text("one")
    return Taker(tmp_path / "file")


async def test_change_is_taken_when_the_file_has_come_to_rest(taker: Taker) -> None:
    await taker.reload.start()
    await taker.reload.look()
    assert taker.taken == ["one"]
    taker.path.write_text("half")
    await taker.reload.look()
    taker.path.write_text("whole")
    await taker.reload.look()
    assert taker.taken == ["one"]
    await taker.reload.look()
    await taker.reload.look()
    assert taker.taken == ["one", "whole"]
    await taker.reload.stop()


async def test_refusal_is_logged_once_and_told_until_the_file_is_good(
    taker: Taker, caplog: pytest.LogCaptureFixture
) -> None:
    await taker.reload.start()
    taker.path.write_text("bad")
    for _ in range(3):
        await taker.reload.look(at_once=True)
    assert taker.reload.problems() == {"catalog": f"{taker.path}: a: must be good"}
    assert [record.levelno for record in caplog.records if "refused" in record.message] == [logging.ERROR]
    taker.path.write_text("good")
    await taker.reload.look(at_once=True)
    assert taker.reload.problems() == {}
    await taker.reload.stop()


async def test_unexpected_error_is_told_and_the_same_file_is_tried_again(taker: Taker) -> None:
    await taker.reload.start()
    taker.path.write_bytes(b"\xff")
    await taker.reload.look(at_once=True)
    assert taker.reload.problems() == {"catalog": "unexpected UnicodeDecodeError; the log says where"}
    taker.encoding = "latin-1"
    await taker.reload.look()
    assert taker.taken == ["\xff"]
    assert taker.reload.problems() == {}
    await taker.reload.stop()


def test_reload_that_is_asked_for_after_the_end_does_nothing(running: Running) -> None:
    running.live.stop()
    running.live.app.state.reload()


async def test_files_are_looked_at_by_themselves(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    taken = asyncio.Event()

    async def take() -> bool:
        if path.read_text() == "two":
            taken.set()
        return True

    reload = Reload({"settings": Reloadable(lambda: path, take)}, every=0.01)
    await reload.start()
    path.write_text("two")
    async with asyncio.timeout(10):
        await taken.wait()
    await reload.stop()
