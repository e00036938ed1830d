from hypothesis import given
from hypothesis import strategies as st

from incident_manager.notify.backoff import Backoff

unit = st.floats(0, 1, exclude_max=True)


@given(attempts=st.integers(1, 10_000), number=unit)
def test_wait_is_between_half_and_whole_of_the_capped_exponential(attempts: int, number: float) -> None:
    seconds = Backoff(2.0, 60.0, lambda: number).after(attempts)
    whole = min(60.0, 2.0 * 2.0 ** min(attempts - 1, 50))
    assert whole / 2 <= seconds <= whole


@given(asked=st.floats(0, 1e6), number=unit)
def test_receiver_is_never_asked_again_sooner_than_it_said(asked: float, number: float) -> None:
    seconds = Backoff(1.0, 60.0, lambda: number).as_asked(asked)
    assert max(1.0, asked) <= seconds <= max(1.0, asked) * 1.1


def test_waits_double() -> None:
    backoff = Backoff(1.0, 300.0, lambda: 1.0)
    assert [backoff.after(n) for n in range(1, 5)] == [1, 2, 4, 8]
