"""Templates into HTML: every value is escaped, whatever it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from incident_manager.domain.incident import Status
from incident_manager.domain.severity import Severity
from incident_manager.web.condition import age

STATIC = Path(__file__).parent / "static"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("incident_manager.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"iso": _iso, "utc": _utc, "age": age, "words": _words, "link": web_link}
    environment.globals |= {"static": static_url, "Severity": Severity, "Status": Status}
    return environment


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """Return the HTML text of a template.

    Args:
        template: The name of its file in `templates`.
        values: What it may show.
    """
    return _environment().get_template(template).render(values)


@cache
def static_url(name: str) -> str:
    """Return the address of a file in `static`. It changes with its content, so that browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def web_link(text: str) -> str | None:
    """Return the text if it is an address that a reader may be led to; a sender may have written anything."""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return None
    is_link = parts.scheme in ("http", "https") and parts.netloc and not any(c.isspace() for c in text.strip())
    return text.strip() if is_link else None


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _words(value: str) -> str:
    return str(value).replace("_", " ")
