"""How a window of time is written."""

import pytest

from incident_manager.history.window import parse_window


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h", 3600),
        ("24h", 86400),
        ("7d", 7 * 86400),
        ("2w", 14 * 86400),
        ("90m", 5400),
        ("60s", 60),
        ("3600", 3600),
        ("90.5", 90.5),
        ("PT1H30M", 5400),
        ("P7D", 7 * 86400),
        (" 1h ", 3600),
    ],
)
def test_number_with_a_unit_seconds_or_iso_8601(text: str, seconds: float) -> None:
    assert parse_window(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1 h", "1y", "-1h", "1e3", "inf", "nan", "P", "PT", "P1Y2", "\u0661h"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 1h, 24h, 7d"):
        parse_window(text)


@pytest.mark.parametrize("text", ["0", "59", "0h", "91d", "999999999w", "P4000D"])
def test_less_than_a_minute_and_more_than_90_days_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be 1 minute to 90 days; given"):
        parse_window(text)
