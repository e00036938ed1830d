"""Entity tags of incidents, and the conditions that name them (RFC 9110, section 13)."""

from __future__ import annotations

import hashlib
import re

from incident_manager.api.errors import ApiError
from incident_manager.domain.errors import PreconditionFailedError
from incident_manager.domain.incident import Incident

_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')

TAGS_PATTERN = '^(\\*|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$'
"""What `If-Match` and `If-None-Match` look like, for OpenAPI."""


def entity_tag(version: int, body: bytes) -> str:
    """Return `"<version>-<digest>"`.

    The version says whether a person has to decide anew, the digest whether the answer is the same byte for byte:
    another alert or a delivered notification changes the answer and not the version.
    """
    return f'"{version}-{hashlib.sha256(body).hexdigest()[:16]}"'


class IfMatch:
    """The condition of a change: it is made only if the incident has a version that the header names.

    Only the version of a tag counts, since the rest may change without anybody's doing; `"3"` names a version too. A
    weak tag never matches (RFC 9110, section 13.1.1), and `*` matches every incident.

    Args:
        header: The value of `If-Match`; None for no condition.

    Raises:
        ApiError: 422: it is not a list of entity tags.
    """

    def __init__(self, header: str | None) -> None:
        self._versions: set[int] | None = None
        if header is not None and header.strip() != "*":
            tags = _tags(header, "If-Match")
            named = (tag.partition("-")[0] for weak, tag in tags if not weak)
            self._versions = {int(version) for version in named if version.isdecimal() and len(version) < 10}

    def check(self, incident: Incident) -> None:
        """Raise PreconditionFailedError if the incident is another one."""
        if self._versions is not None and incident.version not in self._versions:
            raise PreconditionFailedError(incident.id, incident.version)


def is_unchanged(if_none_match: str | None, tag: str) -> bool:
    """Tell whether the caller has the answer already, by the weak comparison that RFC 9110 asks for.

    Raises:
        ApiError: 422: the header is not a list of entity tags.
    """
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return tag.strip('"') in {opaque for _, opaque in _tags(if_none_match, "If-None-Match")}


def _tags(header: str, name: str) -> list[tuple[bool, str]]:
    """Read a list of entity tags: whether each is weak, and its opaque part."""
    found: list[tuple[bool, str]] = []
    position = 0
    while match := _TAG.match(header, position):
        found.append((match[1] is not None, match[2]))
        position = match.end()
        if position == len(header):
            return found
        if header[position] != ",":
            break
        position += 1
    message = f'{name} must be `*` or entity tags as `ETag` gave them, such as "3-0123456789abcdef"'
    raise ApiError(422, "invalid_request", message, field=name)
