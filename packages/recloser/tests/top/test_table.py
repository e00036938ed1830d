"""The table of `recloser top`: order, rates, choice and width."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.top.lines import ORDERS, Line, Rates, chosen, ordered, rates
from recloser.top.table import summary, table


def line(name: str = "db", **values: Any) -> Line:
    counts = dict.fromkeys(("calls", "failed", "rejected", "would_be_rejected", "openings"), 0.0)
    kind = {"source": "1 app.py", "state": "closed", "control": "automatic"}
    return Line(**{"name": name, **kind, **counts, **values})


def names(lines: list[Line]) -> list[str]:
    return [one.name for one in lines]


def test_what_needs_attention_comes_first() -> None:
    lines = [
        line("d"),
        line("c", control="forced_closed"),
        line("b", state="half_open"),
        line("a"),
        line("e", state="open", control="forced_open"),
    ]
    assert names(ordered(lines, "urgency", {})) == ["e", "b", "c", "a", "d"]


@pytest.mark.parametrize("order", ["calls", "failed", "rejected"])
def test_most_comes_first_by_rate_and_then_by_count(order: str) -> None:
    lines = [line("few", **{order: 1}), line("many", **{order: 100}), line("now", **{order: 2})]
    assert names(ordered(lines, order, {})) == ["many", "now", "few"]
    assert names(ordered(lines, order, {lines[2].key: Rates(5.0, 5.0, 5.0)})) == ["now", "many", "few"]


def test_rates_are_growth_over_time() -> None:
    before = {line().key: line(calls=10, failed=1, rejected=0)}
    assert rates([line(calls=30, failed=2, rejected=8)], before, 2.0) == {line().key: Rates(10.0, 0.5, 4.0)}


def test_new_breaker_and_new_process_have_no_rate_yet() -> None:
    assert rates([line(calls=5)], {}, 2.0) == {line().key: Rates()}
    assert rates([line(calls=5)], {line().key: line(calls=50)}, 2.0) == {line().key: Rates()}


def test_lines_are_chosen_by_pattern_and_state() -> None:
    lines = [line("http:a"), line("http:b", state="open"), line("redis:c", state="open")]
    assert names(chosen(lines, "http:*", [])) == ["http:a", "http:b"]
    assert names(chosen(lines, "*", ["open", "half_open"])) == ["http:b", "redis:c"]


def test_row_shows_counts_and_rates() -> None:
    one = line(calls=120, failed=3, rejected=4, would_be_rejected=2, openings=1)
    title, row = table([one], {one.key: Rates(2.5, 0.0, 0.0)}, None)
    assert (
        title
        == "state   name  program   control    calls/s  failed/s  rejected/s  calls  failed        rejected  opened"
    )
    assert (
        row == "closed  db    1 app.py  automatic      2.5       0.0         0.0    120       3  4 (2 would be)       1"
    )


def test_narrow_terminal_shows_rates_and_names_before_totals() -> None:
    one = line("http:api.example.com", source="4711 gunicorn-worker")
    assert [table([one], {}, width)[1] for width in (110, 90, 70)] == [
        "closed  http:api.example.com  4711 gunicorn-worker  automatic        -         -           -      0         0",
        "closed  http:api.example.com  4711 gunicorn-wor…  automatic        -         -           -",
        "closed  http:api.ex…  4711 gunico…  automatic        -         -",
    ]


def test_only_the_state_is_coloured() -> None:
    [_, row] = table([line(state="open")], {}, None, coloured=True)
    assert row.startswith("\x1b[31mopen\x1b[0m ")
    assert row.count("\x1b") == 2


def test_summary_counts_states_and_names_problems() -> None:
    lines = [line(), line("b", state="open"), line("c", control="observe_only")]
    assert summary(lines, ["x: does not answer"], "", None) == [
        "recloser top: 3 breakers: 1 open, 0 half-open, 2 closed, 1 held by an operator",
        "! x: does not answer",
    ]


def test_names_cannot_move_the_cursor() -> None:
    hostile = line("a\x1b[2Jb\r\n", source="\x07")
    text = "".join([*table([hostile], {}, None), *summary([hostile], ["\x1b[H"], "", None)])
    assert text.isprintable()


texts = st.text(min_size=1, max_size=60)
lines_ = st.builds(
    Line,
    source=texts,
    name=texts,
    state=st.sampled_from(["closed", "open", "half_open"]),
    control=st.sampled_from(["automatic", "forced_open"]),
    **{name: st.integers(0, 10**9) for name in ("calls", "failed", "rejected", "would_be_rejected", "openings")},
)


@settings(max_examples=50, deadline=None)
@given(st.lists(lines_, max_size=5), st.integers(1, 300), st.sampled_from(ORDERS))
def test_no_line_is_wider_than_the_terminal(lines: list[Line], width: int, order: str) -> None:
    found = [*summary(lines, [one.name for one in lines], "", width), *table(ordered(lines, order, {}), {}, width)]
    assert len(found) == 2 * len(lines) + 2
    assert all(len(one) <= width and one.isprintable() for one in found)
