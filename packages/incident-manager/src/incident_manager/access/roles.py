"""Roles: what the holder of a token may do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Role(StrEnum):
    """What a token is good for."""

    INGEST = "ingest"
    READ = "read"
    RESPOND = "respond"
    ADMIN = "admin"


_GRANTS = {
    Role.INGEST: frozenset({Role.INGEST}),
    Role.READ: frozenset({Role.READ}),
    Role.RESPOND: frozenset({Role.RESPOND, Role.READ}),
    Role.ADMIN: frozenset(Role),
}

EVERYTHING = frozenset(Role)


def granted(roles: Iterable[Role]) -> frozenset[Role]:
    """Return the roles with those they include: `respond` includes `read`, `admin` includes all others.

    `ingest` includes none: what a sender of alerts holds opens nothing else.
    """
    return frozenset[Role]().union(*(_GRANTS[role] for role in roles))
