"""Cursors of pages that are ordered by a growing number, newest first."""

from incident_manager.domain.errors import InvalidCursorError

_PREFIX = "before-"


def cursor_before(sequence: int | None) -> str:
    """The cursor of what is older than the entry with this number."""
    return f"{_PREFIX}{sequence}"


def sequence_of(cursor: str | None) -> int | None:
    """The number in a cursor; None for none.

    Raises:
        InvalidCursorError: It is none of ours.
    """
    if cursor is None:
        return None
    digits = cursor.removeprefix(_PREFIX)
    if not cursor.startswith(_PREFIX) or not digits.isascii() or not digits.isdecimal() or len(digits) > 18:
        raise InvalidCursorError(cursor)
    return int(digits)
