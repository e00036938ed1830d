"""The commands on tokens. They work on the database itself, so that a service need not run."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from incident_manager.access.roles import Role
from incident_manager.access.tokens import DIGEST_PREFIX, Token, new_token
from incident_manager.cli_parts import ConfigOption, DataDirOption, err, fail, out, settings_or_exit
from incident_manager.domain.errors import IncidentManagerError
from incident_manager.settings import Settings
from recloser import CircuitBreaker, presets

if TYPE_CHECKING:
    from incident_manager.store.audit import AuditEntry
    from incident_manager.store.repository import UnitOfWork

T = TypeVar("T")

tokens = typer.Typer(no_args_is_help=True, help="Make, list and revoke the tokens that callers of the API show.")


@tokens.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what will hold it.")],
    role: Annotated[list[Role], typer.Option(help="What it is good for; may be repeated.")],
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=36500, help="Days it is good for.")] = None,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Keep it in the database, or only print it for the settings.")
    ] = True,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make a token and print it, alone on its line: it is shown now and never again."""
    if not name.strip() or len(name) > 200 or not name.isprintable():
        fail(f"name must be 1 to 200 printable characters; given {name[:80]!r}", 2)
    now = datetime.now(UTC)
    expires_at = None if expires_in_days is None else now + timedelta(days=expires_in_days)
    token, text = new_token(name.strip(), frozenset(role), now, expires_at)
    if store:
        _run(settings_or_exit(config, data_dir=data_dir), lambda unit: _add(unit, token))
    err.print(f"token {token.id} of {token.name!r}, roles: {_roles(token)}", highlight=False, markup=False)
    err.print(f"for the settings: hash: {DIGEST_PREFIX}{token.digest}", highlight=False, markup=False, soft_wrap=True)
    out.print(text, highlight=False, markup=False, soft_wrap=True)


@tokens.command("list")
def list_tokens(config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Show the tokens of the database and of the settings; their secrets are nowhere kept."""
    from incident_manager.store.tokens import all_tokens

    settings = settings_or_exit(config, data_dir=data_dir)
    now = datetime.now(UTC)
    kept = _run(settings, all_tokens)
    fixed = [section.as_token(name, now) for name, section in settings.tokens.items()]
    table = Table("id", "name", "roles", "created", "expires", "last used", "state")
    for token in (*fixed, *kept):
        moments = (None if token in fixed else token.created_at, token.expires_at, token.last_used_at)
        table.add_row(token.id, token.name, _roles(token), *map(_shown, moments), token.problem(now) or "good")
    out.print(table)


@tokens.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Revoke a token for ever. A running service knows within `access.refresh` seconds."""
    if token_id.startswith("settings:"):
        fail(f"{token_id} stands in the settings: take it out there and start the service anew", 2)
    token = _run(settings_or_exit(config, data_dir=data_dir), lambda unit: _revoke(unit, token_id))
    out.print(f"revoked: {token.id} of {token.name!r}", highlight=False, markup=False)


async def _add(unit: "UnitOfWork", token: Token) -> None:
    from incident_manager.store.audit import add_audit
    from incident_manager.store.tokens import add_token

    await add_token(unit, token)
    changes = {"name": {"from": None, "to": token.name}, "roles": {"from": None, "to": sorted(token.roles)}}
    await add_audit(unit, [replace(_entry("token.create", token.id), changes=changes)])


async def _revoke(unit: "UnitOfWork", token_id: str) -> Token:
    from incident_manager.store.audit import add_audit
    from incident_manager.store.tokens import revoke_token

    before, after = await revoke_token(unit, token_id, datetime.now(UTC))
    if after != before and after.revoked_at is not None:
        changes = {"revoked_at": {"from": None, "to": after.revoked_at.isoformat()}}
        await add_audit(unit, [replace(_entry("token.revoke", token_id), changes=changes)])
    return after


def _entry(action: str, target: str) -> "AuditEntry":
    from incident_manager.store.audit import AuditEntry

    return AuditEntry(at=datetime.now(UTC), actor=_user(), address="local", action=action, target=target)


def _user() -> str:
    """The user of the operating system; a container may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


def _run(settings: Settings, work: "Callable[[UnitOfWork], Awaitable[T]]") -> T:
    """Do something in one transaction, or end with what is wrong."""
    from incident_manager.store.database import Store

    async def run() -> T:
        store = Store(settings.store_url, CircuitBreaker("database", presets.database()))
        try:
            await store.start()
            return await store.run(work)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except IncidentManagerError as error:
        fail(str(error), 1)


def _roles(token: Token) -> str:
    return ", ".join(sorted(token.roles))


def _shown(at: datetime | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%d %H:%M")
