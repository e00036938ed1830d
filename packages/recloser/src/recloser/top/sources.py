"""Where lines come from: the admin sockets of this machine, and addresses of metrics or of a dashboard."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from recloser.instrumentation.admin.client import AdminError, ask, find
from recloser.top.lines import Line, Reading

PATIENCE = 5.0
"""Seconds that an address may take to answer."""

MAX_ANSWER = 64 * 1_024 * 1_024
"""Bytes of an answer."""

_PAGE = 500
_ACCEPT = "application/json, text/plain;version=0.0.4;q=0.9, */*;q=0.1"
_STATES = {0.0: "closed", 1.0: "open", 2.0: "half_open"}
_FAILED = ("failure", "throttled", "configuration", "expired")


def read_sockets(folder: Path, pid: int | None, run: int | None) -> Reading:
    """The breakers of processes under `recloser run` on this machine."""
    lines: list[Line] = []
    problems: list[str] = []
    found = find(folder, pid=pid, run=run)
    for each in found:
        try:
            answer = ask(each.path, {"command": "list"})
        except AdminError as error:
            problems.append(str(error))
            continue
        source = f"{answer['pid']} {answer['program']}"
        lines += [_of_summary(source, row) for row in answer["result"]]
    if not found:
        problems.append(f"no process with an admin socket in {folder}")
    return Reading(lines, problems)


def read_address(url: str, token: str | None) -> Reading:
    """The breakers that an address shows: metrics in Prometheus' text format, or a dashboard of recloser.

    Args:
        url: The address.
        token: A bearer token to show; None for none.
    """
    source = urlsplit(url).netloc.rpartition("@")[2]
    try:
        return Reading(_lines_at(url, source, token), ())
    except urllib.error.HTTPError as error:
        hint = "; is the token right?" if error.code in (401, 403) else ""
        error.close()
        return Reading((), [f"{source}: answered {error.code} {error.reason}{hint}"])
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return Reading((), [f"{source}: does not answer: {reason or type(error).__name__}"])
    except UnreadableError as error:
        return Reading((), [f"{source}: {error}"])


class UnreadableError(Exception):
    """What an address answers is neither metrics nor a dashboard, or cannot be read; the text says why."""


def _lines_at(url: str, source: str, token: str | None) -> list[Line]:
    kind, body = _get(url, token)
    if kind == "text/html":  # the page for people; beside it are the same breakers for programs
        parts = urlsplit(url)
        url = parts._replace(path=f"{parts.path.rstrip('/')}/api/breakers").geturl()
        kind, body = _get(_page(url, 0), token)
    if kind != "application/json":
        return _of_metrics(source, body)
    page = _breakers(body)
    rows = list(page["breakers"])
    while page["breakers"] and len(rows) < page["matching"]:
        page = _breakers(_get(_page(url, len(rows)), token)[1])
        rows += page["breakers"]
    try:
        return [_of_summary(f"{page['process']} {source}", row) for row in rows]
    except (KeyError, TypeError):
        raise UnreadableError("the breakers are not as those of recloser.dashboard") from None


def _page(url: str, offset: int) -> str:
    """The address of some of the breakers that an address has, which may say already which are wanted."""
    parts = urlsplit(url)
    wanted = dict(parse_qsl(parts.query, keep_blank_values=True))
    return parts._replace(query=urlencode({**wanted, "limit": _PAGE, "offset": offset}), fragment="").geturl()


def _get(url: str, token: str | None) -> tuple[str, str]:
    """The type and the text of a page."""
    request = urllib.request.Request(url, headers={"Accept": _ACCEPT})  # noqa: S310 - the scheme is checked
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - as above
        body = answer.read(MAX_ANSWER + 1)
        if len(body) > MAX_ANSWER:
            raise UnreadableError(f"the answer is larger than {MAX_ANSWER} bytes")
        return answer.headers.get_content_type(), body.decode("utf-8", "replace")


def _breakers(body: str) -> Any:
    try:
        page = json.loads(body)
        if isinstance(page["breakers"], list) and isinstance(page["matching"], int):
            return page
    except (ValueError, KeyError, TypeError):
        pass
    raise UnreadableError("the answer is JSON, but not of a dashboard: give the address of its page, or of metrics")


def _of_summary(source: str, row: Mapping[str, Any]) -> Line:
    counts = {name: row[name] for name in ("calls", "failed", "rejected", "would_be_rejected", "openings")}
    return Line(source=source, name=row["name"], state=row["state"], control=row["control"], **counts)


def _of_metrics(source: str, text: str) -> list[Line]:
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise UnreadableError("reading metrics needs prometheus-client: install recloser[prometheus]") from None
    found: dict[str, dict[str, Any]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                _, ours, kind = sample.name.rpartition("circuit_breaker_")
                if ours and "name" in sample.labels:
                    _note(found.setdefault(sample.labels["name"], _nothing()), kind, sample.labels, sample.value)
    except (ValueError, KeyError, IndexError):
        raise UnreadableError("the answer is not in Prometheus' text format") from None
    lines = [Line(source=source, name=name, **values) for name, values in found.items() if values["state"]]
    if not lines:
        raise UnreadableError("shows no circuit breakers of recloser")
    return lines


def _nothing() -> dict[str, Any]:
    counts = dict.fromkeys(("calls", "failed", "rejected", "would_be_rejected", "openings"), 0.0)
    return {"state": "", "control": "automatic", **counts}


def _note(line: dict[str, Any], kind: str, labels: Mapping[str, str], value: float) -> None:
    """Note one sample of a breaker; see `recloser.telemetry.prometheus` for their names."""
    match kind:
        case "state":
            line["state"] = _STATES.get(value, "")
        case "control" if value:
            line["control"] = labels["control"]
        case "calls_total" if labels["status"] == "rejected":
            line["rejected"] += value
        case "calls_total":
            line["calls"] += value
            line["failed"] += value if labels["status"] in _FAILED else 0.0
        case "observed_rejections_total":
            line["would_be_rejected"] += value
        case "state_transitions_total" if labels["to_state"] == "open":
            line["openings"] += value
