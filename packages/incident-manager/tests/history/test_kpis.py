"""Key figures of circuit breakers: what each of them means, and what holds whatever was recorded."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incident_manager.history.kpis import Changes, Kpis, by_breaker, kpis, percentile, summed
from incident_manager.history.records import LABELS, Tally, Transition, add_up
from recloser import BUCKET_BOUNDS, State

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN


def tally(**values: Any) -> Tally:
    span = {"starts_at": NOW - HOUR, "ends_at": NOW, "closed_seconds": 3600.0}
    return Tally(**{"instance": "a", "breaker": "database", **span, **values})


def changes(from_state: State, to_state: State, count: int = 1, **values: Any) -> Changes:
    kind = {"breaker": "database", "from_state": from_state, "to_state": to_state, "by_operator": False}
    return Changes(**{**kind, "count": count, "stayed": 0.0, "recovery_seconds": 0.0, "contained": 0, **values})


def figures(*tallies: Tally, changed: tuple[Changes, ...] = (), window: timedelta = HOUR) -> Kpis:
    return kpis(tallies, changed, NOW - window, NOW)


def test_availability_and_rejection_rate_are_shares_of_all_calls() -> None:
    found = figures(tally(succeeded=90, failed=4, rejected=5, held_off=1, other=50))
    assert (found.calls, found.succeeded, found.failed, found.rejected) == (100, 90, 4, 6)
    assert found.availability == pytest.approx(0.9)
    assert found.rejection_rate == pytest.approx(0.06)


def test_without_calls_there_is_no_rate() -> None:
    found = figures()
    assert (found.calls, found.availability, found.rejection_rate, found.open_ratio) == (0, None, None, None)
    assert (found.p99, found.p99_without_breaker, found.mean_time_open, found.time_to_recovery) == (None,) * 4


def test_open_time_is_a_share_of_the_time_that_somebody_looked() -> None:
    found = figures(tally(closed_seconds=3000.0, open_seconds=540.0, half_open_seconds=60.0))
    assert found.open_seconds == pytest.approx(540)
    assert found.open_ratio == pytest.approx(0.15)


def test_transitions_are_counted_by_the_day() -> None:
    found = figures(changed=(changes(CLOSED, OPEN, 2), changes(OPEN, HALF_OPEN, 2)), window=12 * HOUR)
    assert (found.transitions, found.openings, found.transitions_per_day) == (4, 2, pytest.approx(8.0))


def test_mean_time_open_and_time_to_recovery() -> None:
    found = figures(
        changed=(
            changes(OPEN, HALF_OPEN, 4, stayed=200.0),
            changes(HALF_OPEN, CLOSED, 2, recovery_seconds=300.0, contained=1),
        )
    )
    assert (found.mean_time_open, found.time_to_recovery, found.recoveries) == (50.0, 150.0, 2)


def test_incident_is_avoided_when_a_trouble_ended_in_which_calls_were_rejected() -> None:
    assert figures(changed=(changes(HALF_OPEN, CLOSED, 3, contained=2),)).incidents_avoided == 2


def test_what_an_operator_did_is_neither_a_recovery_nor_avoids_an_incident() -> None:
    by_hand = changes(OPEN, CLOSED, contained=1, recovery_seconds=60.0, by_operator=True)
    found = figures(tally(held_off=10), changed=(by_hand,))
    assert (found.incidents_avoided, found.failures_avoided, found.recoveries) == (0, 0, 0)
    assert (found.time_to_recovery, found.transitions, found.rejected) == (None, 1, 10)


def test_failures_avoided_are_the_calls_that_breakers_rejected_by_themselves() -> None:
    assert figures(tally(rejected=7, held_off=3)).failures_avoided == 7


def test_p99_counts_rejected_callers_as_answered_at_once() -> None:
    slow = {"0.01": 90, "10": 10}
    assert figures(tally(succeeded=100, durations=slow)).p99 == 10.0
    assert figures(tally(succeeded=100, rejected=2000, durations=slow)).p99 == 0.01


def test_p99_without_breaker_takes_rejected_calls_as_long_as_failing_ones() -> None:
    calls = {"durations": {"0.01": 990, "10": 5}, "failed_durations": {"10": 5}}
    found = figures(tally(succeeded=990, failed=5, rejected=500, **calls))
    assert (found.p99, found.p99_without_breaker) == (0.01, 10.0)


def test_each_breaker_fails_in_its_own_way() -> None:
    fast = tally(breaker="fast", failed=5, rejected=1000, durations={"0.001": 5}, failed_durations={"0.001": 5})
    slow = tally(breaker="slow", failed=5, durations={"30": 5}, failed_durations={"30": 5})
    assert figures(fast, slow).p99_without_breaker == 0.001


def test_p99_without_breaker_is_unknown_when_calls_were_rejected_and_none_failed() -> None:
    found = figures(tally(succeeded=10, held_off=1, durations={"0.1": 10}))
    assert (found.p99, found.p99_without_breaker) == (0.1, None)


def test_span_across_the_edge_counts_by_its_share() -> None:
    found = figures(tally(starts_at=NOW - 2 * HOUR, closed_seconds=7200.0, succeeded=100))
    assert (found.calls, found.observed_seconds) == (50, pytest.approx(3600))


def test_slices_show_when_it_happened() -> None:
    late = tally(starts_at=NOW - timedelta(minutes=5), closed_seconds=0.0, open_seconds=300.0, failed=4, rejected=6)
    found = figures(late).slices
    assert len(found) == 24
    assert [one.at for one in found] == [NOW - HOUR + timedelta(minutes=2.5) * number for number in range(24)]
    assert [round(one.calls, 6) for one in found] == [0] * 22 + [5, 5]
    assert [round(one.open_seconds) for one in found] == [0] * 22 + [150, 150]


def test_breakers_without_history_are_shown_too() -> None:
    found = by_breaker(["cache"], [tally(succeeded=1)], [], NOW - HOUR, NOW)
    assert list(found) == ["cache", "database"]
    assert (found["cache"].calls, found["database"].calls) == (0, 1)


def test_percentile_beyond_the_last_bucket_is_its_bound() -> None:
    assert percentile({"inf": 1}, 0.99) == BUCKET_BOUNDS[-1]


# What holds whatever was recorded

counts = st.integers(0, 10_000)
histograms = st.dictionaries(st.sampled_from(LABELS), st.integers(1, 1000), max_size=4)
names = st.sampled_from(["database", "cache"])


@st.composite
def tallies_of(draw: st.DrawFn, instance: str) -> list[Tally]:
    """Spans of one process, one after the other, that may begin before the window and end after it."""
    moment, found = NOW - HOUR - timedelta(seconds=draw(st.integers(-1800, 3600))), []
    for length in draw(st.lists(st.integers(0, 3600), max_size=6)):
        shares = [draw(st.floats(0, 1)) for _ in range(2)]
        open_part, half_part = min(shares), max(shares) - min(shares)
        failed = draw(histograms)
        found.append(
            Tally(
                instance=instance,
                breaker=draw(names),
                starts_at=moment,
                ends_at=(moment := moment + timedelta(seconds=length)),
                succeeded=draw(counts),
                failed=draw(counts),
                other=draw(counts),
                rejected=draw(counts),
                held_off=draw(counts),
                closed_seconds=length * (1 - open_part - half_part),
                open_seconds=length * open_part,
                half_open_seconds=length * half_part,
                durations={label: failed.get(label, 0) + count for label, count in draw(histograms).items()} | failed,
                failed_durations=failed,
            )
        )
    return found


@st.composite
def transitions_of(draw: st.DrawFn, instance: str) -> list[Transition]:
    """Changes of state along the diagram, in the window."""
    at, state, found = NOW - HOUR, CLOSED, []
    for number, gap in enumerate(draw(st.lists(st.floats(0, 300), max_size=10))):
        after = OPEN if state is not OPEN else draw(st.sampled_from([HALF_OPEN, CLOSED]))
        after = CLOSED if state is HALF_OPEN and draw(st.booleans()) else after
        at += timedelta(seconds=gap)
        over = {"recovery_seconds": gap, "rejected": draw(st.integers(0, 3))} if after is CLOSED else {}
        kind: dict[str, Any] = {"from_state": state, "to_state": after, "by_operator": draw(st.booleans()), **over}
        kept: dict[str, Any] = {"instance": instance, "number": number, "breaker": "database", "reason": "test"}
        found.append(Transition(at=at, stayed=gap, **kept, **kind))
        state = after
    return found


@settings(max_examples=50, deadline=None)
@given(tallies_of("a"), tallies_of("b"))
def test_open_time_never_exceeds_the_window_times_the_replicas(one: list[Tally], other: list[Tally]) -> None:
    for replicas, tallies in ((1, one), (2, [*one, *other])):
        found = figures(*tallies)
        assert -1e-6 <= found.open_seconds <= found.observed_seconds + 1e-6 <= replicas * 3600 + 2e-6
        assert sum(each.open_seconds for each in found.slices) == pytest.approx(found.open_seconds, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(tallies_of("a"))
def test_rates_are_ratios_and_counts_add_up(tallies: list[Tally]) -> None:
    found = figures(*tallies)
    for ratio in (found.availability, found.rejection_rate, found.open_ratio):
        assert ratio is None or 0 <= ratio <= 1
    assert abs(found.calls - found.succeeded - found.failed - found.rejected) <= 2  # each is rounded
    assert found.failures_avoided <= found.rejected
    if found.availability is not None and found.rejection_rate is not None:
        assert found.availability + found.rejection_rate <= 1 + 1e-9


@settings(max_examples=50, deadline=None)
@given(tallies_of("a"), tallies_of("b"), transitions_of("a"), transitions_of("b"))
def test_figures_of_replicas_add_up(
    one: list[Tally], other: list[Tally], first: list[Transition], second: list[Transition]
) -> None:
    together = figures(*one, *other, changed=tuple(summed([*first, *second])))
    apart = [figures(*each, changed=tuple(summed(done))) for each, done in ((one, first), (other, second))]
    for name in ("observed_seconds", "open_seconds", "transitions", "openings", "recoveries", "incidents_avoided"):
        assert getattr(together, name) == pytest.approx(sum(getattr(each, name) for each in apart))
    worst = [each.p99 for each in apart if each.p99 is not None]
    if worst and together.p99 is not None:
        assert min(worst) <= together.p99 <= max(worst)


@settings(max_examples=50, deadline=None)
@given(tallies_of("a"), tallies_of("b"))
def test_putting_spans_together_loses_nothing(one: list[Tally], other: list[Tally]) -> None:
    rolled = add_up("sum", [*one, *other])
    for name in ("succeeded", "failed", "rejected", "open_seconds", "closed_seconds"):
        before = sum(getattr(each, name) for each in (*one, *other))
        assert sum(getattr(each, name) for each in rolled) == pytest.approx(before)
    assert {each.breaker for each in rolled} == {each.breaker for each in (*one, *other)}
    begin, end = NOW - timedelta(days=1), NOW + timedelta(days=1)
    assert kpis(rolled, [], begin, end).p99 == kpis([*one, *other], [], begin, end).p99


@settings(max_examples=50, deadline=None)
@given(transitions_of("a"), st.integers(0, 10))
def test_sums_of_transitions_do_not_depend_on_how_they_are_split(transitions: list[Transition], at: int) -> None:
    whole = figures(changed=tuple(summed(transitions)))
    split = figures(changed=(*summed(transitions[:at]), *summed(transitions[at:])))
    for name in ("transitions", "openings", "recoveries", "incidents_avoided"):
        assert getattr(whole, name) == getattr(split, name)
    assert whole.recoveries <= whole.transitions
    assert whole.incidents_avoided <= whole.recoveries


@settings(max_examples=50, deadline=None)
@given(histograms, st.floats(0, 1), st.floats(0, 1))
def test_percentile_grows_with_the_share(durations: dict[str, float], one: float, other: float) -> None:
    lower, upper = (percentile(durations, share) for share in sorted((one, other)))
    assert (lower is None) == (not durations)
    if lower is not None and upper is not None:
        assert lower <= upper
