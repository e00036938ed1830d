"""What is written for tokens, audit, idempotency, queries and the stream means the same on both databases."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine
from testing.servers import PostgresServer

from incident_manager.access.roles import Role
from incident_manager.access.tokens import new_token
from incident_manager.domain.errors import IdempotencyKeyReusedError, InvalidCursorError, TokenNotFoundError
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import open_by_hand
from incident_manager.domain.order import SortOrder
from incident_manager.domain.severity import Severity
from incident_manager.store.audit import AuditEntry, add_audit, newest_audit
from incident_manager.store.changes import changes_after, latest_change
from incident_manager.store.idempotency import (
    KeptAnswer,
    SameKeyAtOnceError,
    find_answer,
    forget_answers,
    keep_answer,
)
from incident_manager.store.migrate import migrate
from incident_manager.store.paging import IncidentFilter
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.tokens import add_token, all_tokens, note_use, revoke_token
from incident_manager.stream.sequencer import Sequencer

Transaction = Callable[[], AbstractAsyncContextManager[UnitOfWork]]

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
AGES_AGO = NOW - timedelta(days=1)


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Transaction]:
    """Transactions on a database that is brought to the present schema."""
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    async with engine.begin() as connection:
        await connection.run_sync(migrate)

    @asynccontextmanager
    async def transaction() -> AsyncIterator[UnitOfWork]:
        async with engine.begin() as connection:
            yield UnitOfWork(connection, changing=True)

    try:
        yield transaction
    finally:
        await engine.dispose()


@asynccontextmanager
async def postgresql(server: PostgresServer) -> AsyncIterator[Transaction]:
    """The same on a new database of a PostgreSQL server."""
    name = f"access_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        url = server.url.replace("postgresql://", "postgresql+asyncpg://").rpartition("/")[0]
        async with database(f"{url}/{name}") as transaction:
            yield transaction
        await connection.execute(f"DROP DATABASE {name}")
    finally:
        await connection.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def transaction(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Transaction]:
    """Transactions on SQLite, and on PostgreSQL."""
    if request.param == "sqlite":
        opened = database(f"sqlite+aiosqlite:///{tmp_path}/incidents.db")
    else:
        opened = postgresql(request.getfixturevalue("postgres"))
    async with opened as made:
        yield made


@pytest.fixture
async def on_postgresql(postgres: PostgresServer) -> AsyncIterator[Transaction]:
    """Transactions on PostgreSQL, which may be under way at once."""
    async with postgresql(postgres) as made:
        yield made


def incident(title: str, minutes: int = 0, **fields: Any) -> Incident:
    at = NOW + timedelta(minutes=minutes)
    return open_by_hand(title=title, severity=Severity.P1, by="ana", at=at, **fields)[0]


async def write_history(unit: UnitOfWork, title: str) -> None:
    opened, entries = open_by_hand(title=title, severity=Severity.P1, by="ana", at=NOW)
    await unit.insert(opened)
    await unit.add_timeline(entries)


# Tokens


async def test_a_token_is_kept_until_it_is_revoked_and_after(transaction: Transaction) -> None:
    token, _ = new_token("wallboard", frozenset({Role.READ, Role.INGEST}), NOW, NOW + timedelta(days=1))
    async with transaction() as unit:
        await add_token(unit, token)
    async with transaction() as unit:
        assert await all_tokens(unit) == [token]
        _, first = await revoke_token(unit, token.id, NOW + timedelta(hours=1))
        _, second = await revoke_token(unit, token.id, NOW + timedelta(hours=2))
    assert first.revoked_at == second.revoked_at == NOW + timedelta(hours=1)
    async with transaction() as unit:
        assert await all_tokens(unit) == [first]
        with pytest.raises(TokenNotFoundError):
            await revoke_token(unit, "none", NOW)


async def test_the_last_use_never_goes_back(transaction: Transaction) -> None:
    token, _ = new_token("x", frozenset({Role.READ}), NOW)
    later = NOW + timedelta(minutes=5)
    async with transaction() as unit:
        await add_token(unit, token)
        await note_use(unit, {token.id: later})
        await note_use(unit, {token.id: NOW, "gone": NOW})
        assert [each.last_used_at for each in await all_tokens(unit)] == [later]


# Audit


async def test_the_audit_log_is_read_from_its_end(transaction: Transaction) -> None:
    entries = [
        AuditEntry(
            at=NOW, actor="ana", address="::1", action="x", target=str(n), changes={"a": {"from": n, "to": None}}
        )
        for n in range(4)
    ]
    async with transaction() as unit:
        await add_audit(unit, entries)
        newest = await newest_audit(unit, 2)
        assert [entry.target for entry in newest] == ["3", "2"]
        older = await newest_audit(unit, 10, before=newest[-1].sequence)
    assert [(entry.target, entry.changes) for entry in older] == [
        ("1", {"a": {"from": 1, "to": None}}),
        ("0", {"a": {"from": 0, "to": None}}),
    ]


# Idempotency

ANSWER = KeptAnswer(request="0" * 64, status=201, headers={"ETag": '"1-x"'}, body='{"id": "é"}')


async def test_an_answer_is_found_by_its_owner_with_its_request(transaction: Transaction) -> None:
    async with transaction() as unit:
        await keep_answer(unit, "token:a", "key", ANSWER, NOW, AGES_AGO)
    async with transaction() as unit:
        assert await find_answer(unit, "token:a", "key", ANSWER.request, AGES_AGO) == ANSWER
        assert await find_answer(unit, "token:b", "key", ANSWER.request, AGES_AGO) is None
        assert await find_answer(unit, "token:a", "other", ANSWER.request, AGES_AGO) is None
        with pytest.raises(IdempotencyKeyReusedError):
            await find_answer(unit, "token:a", "key", "1" * 64, AGES_AGO)


async def test_a_key_whose_answer_is_too_old_is_free_again(transaction: Transaction) -> None:
    async with transaction() as unit:
        await keep_answer(unit, "a", "key", ANSWER, NOW, AGES_AGO)
    async with transaction() as unit:
        assert await find_answer(unit, "a", "key", "1" * 64, NOW) is None
        await keep_answer(unit, "a", "key", ANSWER, NOW + timedelta(days=1), NOW)


async def test_a_fresh_answer_is_never_replaced(transaction: Transaction) -> None:
    async with transaction() as unit:
        await keep_answer(unit, "a", "key", ANSWER, NOW, AGES_AGO)
    with pytest.raises(SameKeyAtOnceError):
        async with transaction() as unit:
            await keep_answer(unit, "a", "key", ANSWER, NOW, AGES_AGO)


async def test_of_two_transactions_with_one_key_at_once_one_is_undone(on_postgresql: Transaction) -> None:
    looked, kept = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with on_postgresql() as unit:
            assert await find_answer(unit, "a", "key", ANSWER.request, AGES_AGO) is None
            await unit.insert(incident("first"))
            await keep_answer(unit, "a", "key", ANSWER, NOW, AGES_AGO)
            kept.set()
            await looked.wait()

    async def second() -> None:
        async with on_postgresql() as unit:
            await kept.wait()
            assert await find_answer(unit, "a", "key", ANSWER.request, AGES_AGO) is None
            await unit.insert(incident("second"))
            looked.set()
            await keep_answer(unit, "a", "key", ANSWER, NOW, AGES_AGO)

    outcomes = await asyncio.gather(first(), second(), return_exceptions=True)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], SameKeyAtOnceError)
    async with on_postgresql() as unit:
        page = await unit.list(IncidentFilter(), limit=10)
        assert [each.title for each in page.incidents] == ["first"]


async def test_answers_are_forgotten_when_they_are_old_or_too_many(transaction: Transaction) -> None:
    async with transaction() as unit:
        for number in range(6):
            await keep_answer(unit, "a", str(number), ANSWER, NOW + timedelta(minutes=number), AGES_AGO)
        assert await forget_answers(unit, NOW + timedelta(minutes=1)) == 2
        assert await forget_answers(unit, NOW, most=3) == 1
        left = [number for number in range(6) if await find_answer(unit, "a", str(number), "0" * 64, AGES_AGO)]
    assert left == [3, 4, 5]


# Queries


async def test_labels_are_matched_whatever_their_names_hold(transaction: Transaction) -> None:
    odd = {'"': "a", "$.x": "b", "a.b[0]": "%", "'": "'; --", "ü": "é\n"}
    async with transaction() as unit:
        await unit.insert(incident("odd", labels=odd), incident("plain", labels={"team": "shop"}))
        for name, value in odd.items():
            page = await unit.list(IncidentFilter(labels={name: value}), limit=10)
            assert [each.title for each in page.incidents] == ["odd"], name
        page = await unit.list(IncidentFilter(labels={"team": "shop", '"': "a"}), limit=10)
        assert page.incidents == []


@pytest.mark.parametrize("order", list(SortOrder))
async def test_every_order_pages_to_its_end(transaction: Transaction, order: SortOrder) -> None:
    made = [incident(str(number), minutes=number // 2) for number in range(7)]  # some at the same moment
    async with transaction() as unit:
        await unit.insert(*made)
        seen: list[Incident] = []
        cursor = None
        while True:
            page = await unit.list(IncidentFilter(), limit=2, cursor=cursor, order=order)
            seen += page.incidents
            if (cursor := page.next_cursor) is None:
                break
    key = (lambda each: (each.updated_at, each.id)) if order is SortOrder.UPDATED else (lambda each: each.id)
    assert seen == sorted(made, key=key, reverse=order is not SortOrder.OLDEST)


async def test_a_cursor_of_another_query_is_refused(transaction: Transaction) -> None:
    async with transaction() as unit:
        await unit.insert(incident("a"), incident("b"))
        page = await unit.list(IncidentFilter(), limit=1)
        with pytest.raises(InvalidCursorError):
            await unit.list(IncidentFilter(text="a"), limit=1, cursor=page.next_cursor)


# The stream


async def test_changes_are_read_with_their_incident(transaction: Transaction) -> None:
    async with transaction() as unit:
        await write_history(unit, "Checkout is slow")
    async with transaction() as unit:
        reading = await changes_after(unit, 0, 10)
        [change] = reading.changes
        assert (change.title, change.actor, change.kind, change.severity) == ("Checkout is slow", "ana", "opened", "P1")
        assert (await latest_change(unit)).latest == reading.latest == change.sequence
        assert (await changes_after(unit, change.sequence, 10)).changes == ()


@pytest.mark.parametrize("commits", [True, False])
async def test_a_lower_number_that_commits_later_is_not_missed(on_postgresql: Transaction, commits: bool) -> None:
    sequencer = Sequencer(0)

    async def look() -> list[str]:
        async with on_postgresql() as unit:
            reading = await changes_after(unit, sequencer.last, 10)
        return [change.title for change in sequencer.take(reading, 0.0)]

    try:
        async with on_postgresql() as slow:
            await write_history(slow, "slow")
            async with on_postgresql() as quick:
                await write_history(quick, "quick")
            assert await look() == []  # it can be read, and something may still come before it
            if not commits:
                raise LookupError
    except LookupError:
        assert await look() == ["quick"]
    else:
        assert await look() == ["slow", "quick"]


async def test_where_the_history_ends_is_known_with_who_may_still_write_before(on_postgresql: Transaction) -> None:
    async with on_postgresql() as slow:
        await write_history(slow, "slow")
        async with on_postgresql() as quick:
            await write_history(quick, "quick")
        async with on_postgresql() as unit:
            during = await latest_change(unit)
    async with on_postgresql() as unit:
        after = await latest_change(unit)
    assert during.oldest_running < during.next_transaction
    assert after.oldest_running >= during.next_transaction
