"""The commands that keep and bring back the embedded database."""

from pathlib import Path
from typing import Annotated

import typer

from incident_manager.cli_parts import ConfigOption, DataDirOption, fail, out, settings_or_exit
from incident_manager.settings import Settings


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write the embedded database to a file, while the service runs or not. Exit code 1 when that is not possible."""
    from incident_manager.store.sqlite_backup import BackupError, back_up

    database = _database_of(settings_or_exit(config, data_dir=data_dir))
    try:
        size = back_up(database, file, force=force)
    except BackupError as error:
        fail(str(error), 1)
    out.print(f"{file}: {size} bytes", highlight=False, markup=False, soft_wrap=True)


def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Put a backup in the place of the embedded database, and keep the old one. The service must not run."""
    from incident_manager.store.sqlite_backup import BackupError
    from incident_manager.store.sqlite_backup import restore as put_back

    settings = settings_or_exit(config, data_dir=data_dir)
    database = _database_of(settings)
    try:
        kept = put_back(file, database, settings.journal_path)
    except BackupError as error:
        fail(str(error), 1)
    out.print(f"{database} is restored", highlight=False, markup=False, soft_wrap=True)
    if kept is not None:
        out.print(f"the old database: {kept}", highlight=False, markup=False, soft_wrap=True)


def _database_of(settings: Settings) -> Path:
    """The file of the embedded database, or the end of the program."""
    from sqlalchemy import make_url

    if not settings.store_url.startswith("sqlite"):
        fail("the database is PostgreSQL: use its own pg_dump and pg_restore", 2)
    return Path(make_url(settings.store_url).database or "")
