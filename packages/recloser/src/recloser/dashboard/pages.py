"""The pages as HTML. Whatever comes from elsewhere is escaped here, and nowhere else.

Pure. Every place that is kept up to date has `data-text` (its text) or `data-path` (a line of the sparkline), and
`static/dashboard.js` fills it with the same texts of `cards.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape

from recloser.dashboard import cards
from recloser.dashboard.cards import Texts
from recloser.dashboard.control import MAX_REASON
from recloser.dashboard.frames import MAX_FILTER, Filter, Frame, GroupLine, Row
from recloser.dashboard.history import latest
from recloser.operations import OPERATIONS
from recloser.settings import Settings

CARDS, LINES, GROUPS = 100, 30, 50
"""How many cards, changes and groups a page shows at most."""

_STATE_FILTERS = {
    "": "Any",
    "open": "Open",
    "half_open": "Half-open",
    "closed": "Closed",
    "held": "Held by an operator",
}


@dataclass(frozen=True)
class Viewer:
    """Whom a page is made for.

    Attributes:
        title: What the page is called.
        process: The process whose breakers these are.
        may_control: Whether it offers to operate breakers.
        needs_token: Whether that needs a token.
        form_token: What its forms carry, see `access.refuse_other_forms`.
        home: Address of the page that this one belongs to; empty for none.
    """

    title: str
    process: str
    may_control: bool
    needs_token: bool
    form_token: str
    home: str = ""


# Texts of the page that are kept up to date


def totals(frame: Frame) -> Texts:
    """How many breakers are in which state."""
    health = frame.health
    counts = {"open": health.open, "half_open": health.half_open, "held": frame.held, "closed": health.closed}
    return {f"total-{name}": f"{count:,}" for name, count in counts.items()}


def showing(frame: Frame, wanted: Filter) -> str:
    """How many of the breakers a page shows."""
    matching, total = len(frame.matching(wanted)), len(frame.rows)
    if matching > CARDS:
        return f"The {CARDS} most urgent of {matching:,}: filter to see the others"
    return f"{total:,} in all" if matching == total else f"{matching:,} of {total:,}"


def page_title(frame: Frame, title: str) -> str:
    """The title of the window: it says what is wrong even where the page is behind others."""
    return f"({frame.health.open} open) {title}" if frame.health.open else title


def group_texts(group: GroupLine) -> Texts:
    """The texts of a group."""
    bound = "" if group.bound is None else f" of at most {group.bound:,}"
    forgotten = f", {group.evicted:,} forgotten" if group.evicted else ""
    return {
        "key": cards.key_of(group.name),
        "name": cards.shown(group.name, MAX_FILTER),
        "members": f"{group.total:,}{bound}{forgotten}",
        "troubled": f"{group.troubled:,} not closed" if group.troubled else "all closed",
        "state": "open" if group.troubled else "closed",
    }


def shown_groups(frame: Frame) -> list[GroupLine]:
    """The groups that a page shows: those in trouble first."""
    return sorted(frame.groups, key=lambda group: (-group.troubled, group.name))[:GROUPS]


# Whole pages


def index(frame: Frame, wanted: Filter, viewer: Viewer, now: str) -> str:
    """The page of all breakers."""
    rows = frame.matching(wanted)[:CARDS]
    lines = [cards.line(entry) for entry in latest(frame.entries, LINES)]
    groups = [group_texts(group) for group in shown_groups(frame)]
    empty = "No breaker matches the filter." if len(frame.rows) else "This process has no breakers yet."
    main = f"""
<form class="filter" method="get" role="search" aria-label="Breakers">
<p><label for="q">Name</label><input id="q" name="q" type="search" maxlength="{MAX_FILTER}" autocomplete="off" \
spellcheck="false" value="{_safe(wanted.text)}"></p>
<p><label for="state">State</label><select id="state" name="state">{_options(_STATE_FILTERS, wanted.state)}</select></p>
{_group_filter(frame, wanted)}
<p class="apply"><button>Filter</button></p>
</form>
<div class="layout">
<section aria-labelledby="breakers">
<h2 id="breakers" tabindex="-1">Breakers</h2>
<p class="showing" data-text="showing">{_safe(showing(frame, wanted))}</p>
<ul class="cards" id="cards">{"".join(_card(row.card, viewer) for row in rows)}</ul>
<p class="empty" id="empty"{"" if not rows else " hidden"}>{empty}</p>
</section>
<div class="side">{_history_section(lines)}{_groups_section(groups)}</div>
</div>
<template id="card-template">{_card(_Blank(), viewer)}</template>
<template id="line-template">{_line(_Blank())}</template>
<template id="group-template">{_group(_Blank())}</template>
{_dialog(viewer) if viewer.may_control else ""}"""
    return _document(page_title(frame, viewer.title), _header(frame, viewer, now) + f"<main>{main}</main>")


def detail(
    frame: Frame, row: Row, settings: Settings, viewer: Viewer, now: str, *, problem: str = "", given: Mapping[str, str]
) -> str:
    """The page of one breaker.

    Args:
        problem: What was wrong with the form that was sent.
        given: The fields of that form.
    """
    texts = row.card
    lines = [cards.line(entry) for entry in latest(frame.entries, LINES, breaker=row.stats.name)]
    control = ""
    if viewer.may_control:
        alert = f'<p class="problem" role="alert">{_safe(problem)}</p>' if problem else ""
        control = f"""
<section class="panel" aria-labelledby="operate"><h2 id="operate">Operate</h2>{alert}
{_form(viewer, texts["key"], texts["name"], given)}</section>"""
    main = f"""
<p class="back"><a href="./">All breakers</a></p>
<div class="columns"><ul class="cards single" id="cards">{_card(texts, viewer, single=True)}</ul>{control}</div>
{_history_section(lines)}
<section class="panel" aria-labelledby="settings"><h2 id="settings">Settings</h2>
<dl class="settings">{"".join(_settings(settings))}</dl></section>
<template id="line-template">{_line(_Blank())}</template>"""
    title = f"{texts['name']} – {viewer.title}"  # noqa: RUF001 - a dash
    return _document(title, _header(frame, viewer, now) + f"<main>{main}</main>")


def failure(title: str, detail: str) -> str:
    """The page that says that there is none."""
    body = f'<main><h1>{_safe(title)}</h1><p>{_safe(detail)}</p><p><a href="./">All breakers</a></p></main>'
    return _document(title, body)


def _document(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_safe(title)}</title>
<link rel="stylesheet" href="static/dashboard.css">
<link rel="icon" type="image/svg+xml" href="static/icon.svg">
<script type="module" src="static/dashboard.js"></script>
</head>
<body>
<a class="skip" href="#cards">Skip to the breakers</a>
{body}
<p class="unseen" id="news" aria-live="polite"></p>
</body>
</html>
"""


def _header(frame: Frame, viewer: Viewer, now: str) -> str:
    words = {"open": "open", "half_open": "half-open", "held": "held", "closed": "closed"}
    counts = totals(frame)
    items = "".join(
        f'<li data-state="{state}"><a href="./?state={state}"><b data-text="total-{state}">'
        f"{counts[f'total-{state}']}</b> {word}</a></li>"
        for state, word in words.items()
    )
    home = f'<p><a href="{_safe(viewer.home)}">Back</a></p>\n' if viewer.home else ""
    return f"""<header>
{home}<h1><a href="./" data-title="{_safe(viewer.title)}">{_safe(viewer.title)}</a></h1>
<p class="live" id="live" data-live="off"><span id="live-word">Snapshot</span> \
<span class="at">of <time data-text="now">{_safe(now)}</time> UTC</span></p>
<nav aria-label="Breakers by state"><ul class="totals">{items}</ul></nav>
<p class="process">Breakers of {_safe(viewer.process)}</p>
</header>
"""


# Parts


class _Blank(dict[str, str]):
    """Texts for a template: all of them empty."""

    def __missing__(self, key: str) -> str:
        return ""


def _safe(text: str) -> str:
    return escape(text, quote=True)


def _text(tag: str, name: str, texts: Mapping[str, str], css: str = "") -> str:
    styled = f' class="{css}"' if css else ""
    return f'<{tag}{styled} data-text="{name}">{_safe(texts[name])}</{tag}>'


def _card(texts: Mapping[str, str], viewer: Viewer, *, single: bool = False) -> str:
    name = f"""<bdi data-text="name">{_safe(texts["name"])}</bdi>"""
    title = f"<h2>{name}</h2>" if single else f'<h3><a data-link href="breaker?name={texts["key"]}">{name}</a></h3>'
    paths = "".join(
        f'<path class="{part}" data-path="spark-{part}" d="{texts[f"spark-{part}"]}"/>'
        for part in ("succeeded", "failed", "rejected")
    )
    numbers = "".join(
        f"<div><dt>{word}</dt>{_text('dd', name, texts)}{_text('dd', more, texts, 'more') if more else ''}</div>"
        for word, name, more in (
            ("Failures", "failure-rate", "window"),
            ("Slow", "slow-rate", ""),
            ("Rejected", "rejected", "rejected-of"),
            ("In flight", "in-flight", ""),
        )
    )
    latency = "".join(f"<div><dt>{name}</dt>{_text('dd', name, texts)}</div>" for name in ("p50", "p95", "p99"))
    button = ""
    if viewer.may_control and not single:
        button = f"""<p class="actions"><button type="button" class="operate" aria-haspopup="dialog" hidden>Operate\
<span class="unseen"> {name}</span></button></p>"""
    return f"""
<li class="card" data-key="{texts["key"]}" data-state="{texts["state"]}" data-control="{texts["control"]}">
<div class="head">{title}<p class="state">{_text("b", "state-word", texts)} {_text("span", "since", texts)}</p></div>
<p class="held">{_text("b", "control-word", texts)} {_text("span", "control-reason", texts)}</p>
{_text("p", "next", texts, "next")}
<div><svg class="spark" viewBox="0 0 {cards.SPARK_WIDTH} {cards.SPARK_HEIGHT}" preserveAspectRatio="none" \
aria-hidden="true">{paths}</svg>
{_text("p", "spark-text", texts, "spark-text")}</div>
<dl class="numbers">{numbers}</dl>
<dl class="latency">{latency}<div class="more"><dt>Latency</dt>{_text("dd", "latency-of", texts)}</div></dl>
<p class="last-failure"><span class="unseen">Last failure: </span>{_text("code", "last-failure", texts)}</p>
<div class="foot">{_text("p", "groups", texts, "groups")}{button}</div>
</li>"""


def _line(texts: Mapping[str, str]) -> str:
    return f"""
<li data-number="{texts["number"]}" data-kind="{texts["kind"]}"><time data-text="time" \
datetime="{texts["iso"]}">{_safe(texts["time"])}</time>
<p><a data-link href="breaker?name={texts["key"]}"><bdi data-text="name">{_safe(texts["name"])}</bdi></a> \
{_text("b", "what", texts)} {_text("span", "why", texts, "why")} {_text("span", "who", texts, "who")}</p></li>"""


def _history_section(lines: Sequence[Texts]) -> str:
    return f"""
<section class="panel" aria-labelledby="changes"><h2 id="changes">Recent changes</h2>
<ol class="lines" id="lines" reversed>{"".join(map(_line, lines))}</ol>
<p class="none">Nothing has changed since this page is kept.</p></section>"""


def _groups_section(groups: Sequence[Texts]) -> str:
    return f"""
<section class="panel groups-panel" aria-labelledby="groups"><h2 id="groups">Groups and keyed breakers</h2>
<ul class="group-list" id="group-list">{"".join(map(_group, groups))}</ul></section>"""


def _group(texts: Mapping[str, str]) -> str:
    return f"""
<li data-key="{texts["key"]}" data-state="{texts["state"]}"><a data-group href="./?group={texts["key"]}">\
<bdi data-text="name">{_safe(texts["name"])}</bdi></a> {_text("span", "members", texts)} \
{_text("b", "troubled", texts)}</li>"""


def _group_filter(frame: Frame, wanted: Filter) -> str:
    names = {"": "Any", **{group.name: cards.shown(group.name, MAX_FILTER) for group in frame.groups[:500]}}
    if wanted.group:
        names.setdefault(wanted.group, cards.shown(wanted.group, MAX_FILTER))
    if len(names) == 1:
        return ""
    options = _options(names, wanted.group)
    return f'<p><label for="group">Group</label><select id="group" name="group">{options}</select></p>'


def _options(words: Mapping[str, str], chosen: str) -> str:
    return "".join(
        f'<option value="{_safe(value)}"{" selected" if value == chosen else ""}>{_safe(word)}</option>'
        for value, word in words.items()
    )


def _dialog(viewer: Viewer) -> str:
    return f"""
<dialog id="dialog" aria-labelledby="dialog-title">
<h2 id="dialog-title">Operate <bdi data-text="name"></bdi></h2>
<p class="problem" id="problem" role="alert"></p>
{_form(viewer, "", "", {})}
</dialog>"""


def _form(viewer: Viewer, key: str, name: str, given: Mapping[str, str]) -> str:
    choices = "".join(
        f"""<p><label><input type="radio" name="operation" value="{operation.name}" required\
{" checked" if given.get("operation") == operation.name else ""}>
<b>{operation.name.capitalize()}</b> <span>{operation.meaning}</span></label></p>"""
        for operation in OPERATIONS.values()
    )
    asked = """<p><label for="token">Token</label><input id="token" name="token" type="password" required \
autocomplete="current-password"></p>"""
    return f"""
<form class="control" method="post" action="control">
<input type="hidden" name="key" value="{key}"><input type="hidden" name="form_token" value="{_safe(viewer.form_token)}">
<fieldset><legend>What to do</legend>{choices}</fieldset>
<p><label for="reason">Reason, for the next person on call</label>
<input id="reason" name="reason" required maxlength="{MAX_REASON}" autocomplete="off" \
value="{_safe(given.get("reason", ""))}"></p>
{asked if viewer.needs_token else ""}
<p class="confirm"><label><input type="checkbox" name="confirm" value="yes" required>
<span>Yes, do this to <bdi data-text="name">{_safe(name)}</bdi> now</span></label></p>
<p class="actions"><button class="primary">Do it</button>
<button type="button" class="cancel" hidden>Cancel</button></p>
</form>"""


def _settings(settings: Settings) -> Iterable[str]:
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        if value is not None and value != {} and not callable(value):
            text = cards.shown(_written(value))
            yield f"<div><dt><code>{setting.name}</code></dt><dd><code>{_safe(text)}</code></dd></div>"


def _written(value: object) -> str:
    if isinstance(value, tuple | frozenset):
        return ", ".join(map(_written, value)) or "nothing"
    return value.__qualname__ if isinstance(value, type) else str(value)
