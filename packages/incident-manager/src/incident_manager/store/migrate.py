"""Bringing a database to the schema this version needs."""

from __future__ import annotations

from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection

from incident_manager.domain.errors import StoreMigrationError


@dataclass(frozen=True, slots=True)
class Migrated:
    """The revisions of a database's schema before and after; None before the first."""

    before: str | None
    after: str | None


def migrate(connection: Connection) -> Migrated:
    """Run the migrations the database has not seen, in the connection's transaction: all of them or none.

    Raises:
        StoreMigrationError: The database was made by a later version.
    """
    config = alembic_config()
    config.attributes["connection"] = connection
    before = MigrationContext.configure(connection).get_current_revision()
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        message = "the database was made by a later version of the incident manager; run that one, or restore a backup"
        raise StoreMigrationError(f"{message} ({error})") from error
    return Migrated(before, MigrationContext.configure(connection).get_current_revision())


def alembic_config() -> Config:
    """Return Alembic's settings; the scripts are found in the package, from any folder and in a wheel."""
    config = Config()
    config.set_main_option("script_location", "incident_manager.store:migrations")
    config.set_main_option("path_separator", "os")
    return config
