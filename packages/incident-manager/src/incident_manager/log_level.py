"""How much the log tells."""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

CHATTY = ("uvicorn.error", "httpx2", "alembic", "aiosqlite")
"""Loggers whose lines below a warning are never wanted."""


def set_log_level(level: LogLevel) -> None:
    """Let the log tell what is at least as important as this, from now on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(number)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
