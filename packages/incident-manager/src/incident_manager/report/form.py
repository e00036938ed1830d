"""What a report is written in."""

from enum import StrEnum


class ReportFormat(StrEnum):
    """What the report is written in."""

    HTML = "html"
    MARKDOWN = "markdown"
