"""Identifiers name their kind and sort by time."""

import re
import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.ids import new_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_id_says_what_it_names() -> None:
    assert re.fullmatch("inc_[0-9a-f]{32}", new_id("inc", NOW))
    assert new_id("alt", NOW).startswith("alt_")


def test_an_id_is_a_valid_uuid_of_version_7() -> None:
    value = uuid.UUID(new_id("msg", NOW).removeprefix("msg_"))
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == NOW.timestamp() * 1000


def test_ids_of_one_moment_differ() -> None:
    assert len({new_id("inc", NOW) for _ in range(1000)}) == 1000


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=20, unique=True))
def test_ids_sort_by_time(milliseconds: list[int]) -> None:
    ids = [new_id("inc", NOW + timedelta(milliseconds=at)) for at in sorted(milliseconds)]
    assert ids == sorted(ids)
