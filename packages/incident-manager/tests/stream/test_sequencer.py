"""Changes are passed on in order, each once, and none is overtaken for good."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.incident import Status
from incident_manager.domain.severity import Severity
from incident_manager.domain.timeline import TimelineKind
from incident_manager.store.changes import Change, Reading
from incident_manager.stream.sequencer import PATIENCE, Sequencer


def change(sequence: int) -> Change:
    return Change(
        sequence=sequence,
        at=datetime(2026, 1, 5, tzinfo=UTC),
        actor="ana",
        kind=TimelineKind.NOTE,
        message="a note",
        data={},
        incident_id="inc_" + "0" * 32,
        title="Checkout is slow",
        severity=Severity.P1,
        status=Status.DETECTED,
        source="manual",
        version=1,
        assignee=None,
        acknowledged_at=None,
    )


def reading(*sequences: int, running: tuple[int, int] = (0, 0)) -> Reading:
    return Reading([change(number) for number in sequences], max(sequences, default=0), *running)


def numbers(changes: list[Change]) -> list[int]:
    return [each.sequence for each in changes]


def test_changes_without_a_gap_are_passed_on_at_once() -> None:
    sequencer = Sequencer(4)
    assert numbers(sequencer.take(reading(5, 6, 7, running=(90, 99)), 0.0)) == [5, 6, 7]
    assert sequencer.last == 7


def test_nothing_after_a_number_that_may_still_come_is_passed_on() -> None:
    sequencer = Sequencer(4)
    assert numbers(sequencer.take(reading(5, 7, running=(90, 99)), 0.0)) == [5]
    assert numbers(sequencer.take(reading(6, 7, running=(99, 120)), 1.0)) == [6, 7]


def test_a_number_is_given_up_when_all_who_could_have_it_have_ended() -> None:
    sequencer = Sequencer(4)
    assert sequencer.take(reading(6, running=(90, 99)), 0.0) == []
    assert sequencer.take(reading(6, running=(98, 200)), 1.0) == []
    assert numbers(sequencer.take(reading(6, running=(99, 200)), 2.0)) == [6]


def test_where_nobody_was_writing_a_missing_number_is_given_up_at_once() -> None:
    assert numbers(Sequencer(4).take(reading(6, 9), 0.0)) == [6, 9]


def test_each_missing_number_is_waited_for_from_when_it_is_first_missed() -> None:
    sequencer = Sequencer(4)
    assert sequencer.take(reading(6, 8, running=(90, 99)), 0.0) == []
    assert numbers(sequencer.take(reading(6, 8, running=(99, 300)), 1.0)) == [6]
    assert sequencer.take(reading(8, running=(299, 400)), 2.0) == []
    assert numbers(sequencer.take(reading(8, running=(300, 400)), 3.0)) == [8]


def test_a_transaction_that_never_ends_does_not_stop_the_stream_for_ever() -> None:
    sequencer = Sequencer(4)
    assert sequencer.take(reading(6, running=(90, 99)), 0.0) == []
    assert sequencer.take(reading(6, running=(90, 99)), PATIENCE) == []
    assert numbers(sequencer.take(reading(6, running=(90, 99)), PATIENCE + 1)) == [6]


@given(st.data())
def test_whatever_commits_when_everything_committed_is_passed_on_once_and_in_order(data: st.DataObject) -> None:
    """Transactions take a number and commit, or undo, in any order; a reader looks in between."""
    order = data.draw(st.permutations(range(1, 9)))
    undone = data.draw(st.sets(st.integers(1, 8)))
    sequencer, committed, ended, seen = Sequencer(0), set[int](), set[int](), list[int]()

    def look() -> None:
        running = [100 + number for number in range(1, 9) if number not in ended]
        found = [number for number in sorted(committed) if number > sequencer.last]
        bounds = (min(running, default=109), 109)
        seen.extend(numbers(sequencer.take(reading(*found, running=bounds), 0.0)))

    for number in order:
        ended.add(number)
        if number not in undone:
            committed.add(number)
        if data.draw(st.booleans()):
            look()
    look()
    assert seen == sorted(committed)
