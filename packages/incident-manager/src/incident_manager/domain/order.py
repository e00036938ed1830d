"""In which order incidents are listed."""

from enum import StrEnum


class SortOrder(StrEnum):
    """In which order incidents come."""

    NEWEST = "newest"
    OLDEST = "oldest"
    UPDATED = "updated"
