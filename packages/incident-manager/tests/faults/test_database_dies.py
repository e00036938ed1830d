"""The database is killed, frozen and restarted under load, and replicas die: every accepted alert counts once."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from testing.burst import Traffic, all_incidents
from testing.servers import PostgresServer
from testing.service import IncidentManager, eventually


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """A PostgreSQL server that tests hurt."""
    with PostgresServer() as server:
        yield server


def impatient(database: PostgresServer) -> dict[str, Any]:
    return {
        "database_url": database.url,
        "database": {"connect_timeout": 1.0, "transaction_timeout": 1.0},
        "journal": {"patience": 1.0},
        "breakers": {"database": {"failure_threshold": 3, "open_for": 0.5, "success_threshold": 1}},
    }


@pytest.fixture
def service(database: PostgresServer) -> Iterator[IncidentManager]:
    database.thaw()
    database.start()
    with IncidentManager(impatient(database)) as running:
        yield running


def journaled(client: httpx2.Client) -> int:
    return int(client.get("/health").json()["journal"]["waiting"])


def assert_counted_once(traffic: Traffic, service: IncidentManager) -> None:
    """Every accepted alert is one incident; of one whose answer was lost nobody knows."""
    with service.client() as client:
        eventually(lambda: journaled(client), lambda waiting: waiting == 0, timeout=60)
        kept = all_incidents(client).values()
    counts = Counter({incident["title"]: incident["alert_count"] for incident in kept})
    titles = Counter(incident["title"] for incident in kept)
    assert {title: (counts[title], titles[title]) for title in traffic.accepted if counts[title] != 1} == {}
    assert {title for title in traffic.accepted if titles[title] != 1} == set()
    assert not traffic.other_answers, service.log


def assert_outage_is_in_the_history(service: IncidentManager) -> None:
    """The circuit that opened because nothing could be written, and what followed, in order and without a gap."""
    with service.client() as client:
        path = "/v1/circuit-breakers/database/transitions"
        found = eventually(
            lambda: client.get(path).raise_for_status().json()["transitions"],
            lambda transitions: transitions and transitions[0]["to_state"] == "closed",
        )
        kpis = client.get("/v1/circuit-breakers/kpis?window=1h").raise_for_status().json()
    run = [one for one in reversed(found) if one["instance"] == found[0]["instance"]]
    assert (run[0]["from_state"], run[0]["to_state"]) == ("closed", "open")
    assert [one["to_state"] for one in run[:-1]] == [one["from_state"] for one in run[1:]]
    [database] = [one for one in kpis["circuit_breakers"] if one["name"] == "database"]
    assert database["recoveries"] >= 1
    assert database["open_seconds"] > 0


@pytest.mark.parametrize("hurt", ["kill", "freeze", "stop"])
async def test_database_that_goes_away_under_load_costs_no_alert_and_little_time(
    service: IncidentManager, database: PostgresServer, hurt: str
) -> None:
    async with Traffic(service.url) as traffic:
        await traffic.answers(50, "opened")
        await asyncio.to_thread(getattr(database, hurt))
        await traffic.answers(1, "journaled")
        tripped = time.monotonic()
        await traffic.answers(200, "journaled")
        if hurt == "freeze":
            database.thaw()
        else:
            await asyncio.to_thread(database.start)
        await traffic.answers(50, "opened")
    assert_counted_once(traffic, service)
    assert not traffic.unanswered
    assert_outage_is_in_the_history(service)
    latencies = sorted(took for sent, took in traffic.answered if sent > tripped)
    assert latencies[int(len(latencies) * 0.99)] < 2.0


async def test_replica_killed_while_the_database_is_away_keeps_what_it_accepted(
    service: IncidentManager, database: PostgresServer
) -> None:
    async with Traffic(service.url) as traffic:
        await traffic.answers(20, "opened")
        await asyncio.to_thread(database.kill)
        await traffic.answers(100, "journaled")
        await asyncio.to_thread(service.kill)
        await asyncio.to_thread(service.start)  # the database is still away
        with service.client() as client:
            assert client.get("/health/ready").json() == {"status": "ready", "database": "starting"}
            refused = client.get("/v1/incidents")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert journaled(client) >= 100
        await traffic.answers(50, "journaled")
        await asyncio.to_thread(database.start)
        await traffic.answers(50, "opened")
    assert_counted_once(traffic, service)


async def test_identical_alerts_at_two_replicas_are_one_incident_also_through_a_restart(
    service: IncidentManager, database: PostgresServer
) -> None:
    title = f"the same at {time.time_ns()}"

    async def send(client: httpx2.AsyncClient) -> None:
        answer = await client.post("/v1/alerts", json={"title": title, "labels": {"at": title}})
        assert answer.status_code == 202

    with IncidentManager(impatient(database)) as other:
        async with (
            httpx2.AsyncClient(base_url=service.url, timeout=60) as one,
            httpx2.AsyncClient(base_url=other.url, timeout=60) as two,
        ):
            await asyncio.gather(*(send((one, two)[number % 2]) for number in range(50)))
            await asyncio.to_thread(database.kill)
            await asyncio.gather(*(send((one, two)[number % 2]) for number in range(50)))
            await asyncio.to_thread(database.start)
        for replica in (service, other):
            with replica.client() as client:
                eventually(lambda client=client: journaled(client), lambda waiting: waiting == 0, timeout=60)
        with service.client() as client:
            found = [one for one in all_incidents(client).values() if one["title"] == title]
    assert [incident["alert_count"] for incident in found] == [100]
