"""A call that still runs and is already slow is in the window before it ends, once."""

from typing import Any

import pytest
from packages.recloser.tests.machine.driving import FAILED, OK, admitted, call, make, reading, resolve

from recloser import CountWindow, State, TimeWindow
from recloser.machine import Machine


def watching(**changes: Any) -> Machine:
    """Slow from 1 s on; opens when all of at least 4 calls are slow."""
    rules: dict[str, Any] = {
        "failure_threshold": None,
        "slow_call_duration": 1.0,
        "slow_call_rate_threshold": 1.0,
        "count_in_flight_slow_calls": True,
        "minimum_calls": 4,
    }
    return make(**(rules | changes))


def known(machine: Machine) -> tuple[int, int, int]:
    """(calls, failures, slow) of the window."""
    seen = reading(machine)
    failures, slow = seen.failure_rate or 0.0, seen.slow_call_rate or 0.0
    return seen.window_calls, round(failures * seen.window_calls), round(slow * seen.window_calls)


def test_running_call_is_slow_from_the_limit_on() -> None:
    machine = watching()
    admitted(machine, 0.0)
    machine.tick(0.999)
    assert known(machine) == (0, 0, 0)
    machine.tick(1.0)
    assert known(machine) == (1, 0, 1)
    machine.tick(50.0)
    assert known(machine) == (1, 0, 1)


def test_running_call_is_not_entered_again_when_it_ends() -> None:
    machine = watching()
    ticket = admitted(machine, 0.0)
    machine.tick(2.0)
    settled = machine.settle(ticket, OK, 3.0)
    assert settled == ("slow", 3.0, False)
    assert known(machine) == (1, 0, 1)
    machine.tick(50.0)
    assert known(machine) == (1, 0, 1)


@pytest.mark.parametrize("window", [CountWindow(10), TimeWindow(60.0, 6)])
def test_running_call_that_fails_at_last_is_a_failure_and_slow(window: CountWindow | TimeWindow) -> None:
    machine = watching(window=window)
    ticket = admitted(machine, 0.0)
    machine.tick(2.0)
    call(machine, OK, 2.0)
    machine.settle(ticket, FAILED, 3.0)
    assert known(machine) == (2, 1, 1)
    assert machine.kernel.consecutive_failures == 1


def test_late_failure_of_a_running_call_can_open_the_circuit() -> None:
    machine = watching(failure_rate_threshold=0.5, minimum_calls=2)
    ticket = admitted(machine, 0.0)
    machine.tick(2.0)
    call(machine, OK, 2.0)
    assert machine.state is State.CLOSED
    machine.settle(ticket, FAILED, 3.0)
    assert machine.state is State.OPEN


def test_call_that_ends_in_time_is_not_watched_any_more() -> None:
    machine = watching()
    machine.settle(admitted(machine, 0.0), OK, 0.5)
    machine.tick(2.0)
    assert known(machine) == (1, 0, 0)


def test_old_ones_are_counted_though_a_young_one_is_not_slow_yet() -> None:
    machine = watching(minimum_calls=2)
    for started in (0.0, 0.1, 0.9):
        admitted(machine, started)
    machine.tick(1.5)
    assert known(machine) == (2, 0, 2)
    assert machine.state is State.OPEN
    assert machine.changed_at == 1.5


def test_stream_whose_first_item_came_in_time_is_not_slow_and_hides_nobody() -> None:
    machine = watching()
    stream, plain = admitted(machine, 0.0), admitted(machine, 0.0)
    stream.latency = 0.5
    machine.tick(2.0)
    assert known(machine) == (1, 0, 1)
    machine.settle(stream, OK, 90.0)
    machine.settle(plain, OK, 91.0)
    assert known(machine) == (2, 0, 1)


def test_stream_whose_first_item_came_in_time_does_not_wait_until_it_would_be_slow() -> None:
    machine = watching()
    stream = admitted(machine, 0.5)
    stream.latency = 0.1
    admitted(machine, 0.5)
    machine.tick(1.0)
    assert known(machine) == (0, 0, 0)
    machine.tick(1.5)
    assert known(machine) == (1, 0, 1)


def test_calls_of_a_generation_that_is_over_are_not_watched() -> None:
    machine = watching()
    ticket = admitted(machine, 0.0)
    machine.reset(0.5, "fixed")
    machine.tick(2.0)
    assert known(machine) == (0, 0, 0)
    machine.settle(ticket, OK, 3.0)
    assert known(machine) == (0, 0, 0)


def test_time_takes_what_has_left_the_window_out_before_the_rule_is_asked() -> None:
    machine = watching(window=TimeWindow(10.0, 10), minimum_calls=1)
    for _ in range(3):
        call(machine, OK, 0.0)
    admitted(machine, 9.5)
    machine.tick(10.5)
    assert known(machine) == (1, 0, 1)
    assert machine.state is State.OPEN


def test_rule_is_asked_after_the_last_of_several() -> None:
    machine = watching(slow_call_rate_threshold=0.5)
    for _ in range(2):
        call(machine, OK, 0.0)
    for _ in range(2):
        admitted(machine, 0.0)
    machine.tick(1.0)
    assert machine.state is State.OPEN
    resolve(machine)
    assert machine.retry_after(1.0) == 10.0


def test_watching_can_be_switched_off() -> None:
    machine = watching()
    ticket = admitted(machine, 0.0)
    machine.reconfigure(machine.settings.replace(count_in_flight_slow_calls=False), 0.5)
    machine.tick(2.0)
    assert known(machine) == (0, 0, 0)
    machine.settle(ticket, OK, 3.0)
    assert known(machine) == (1, 0, 1)


def test_watching_goes_on_under_other_new_settings() -> None:
    machine = watching()
    admitted(machine, 0.0)
    machine.reconfigure(machine.settings.replace(open_for=3.0), 0.5)
    assert machine.settings.open_for == 3.0
    machine.tick(2.0)
    assert known(machine) == (1, 0, 1)


def test_what_was_slow_before_new_settings_is_counted_by_the_old() -> None:
    machine = watching()
    admitted(machine, 0.0)
    machine.reconfigure(machine.settings.replace(slow_call_duration=60.0), 1.5)
    assert known(machine) == (1, 0, 1)
