"""Alerts about one trouble share a fingerprint, and no others do."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from incident_manager.domain.fingerprint import fingerprint

texts = st.text(max_size=8)
label_sets = st.dictionaries(st.text(min_size=1, max_size=4), texts, max_size=4)


@given(labels=label_sets.filter(len), data=st.data())
def test_order_of_labels_does_not_matter(labels: dict[str, str], data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(labels.items()))))
    assert fingerprint("prometheus", "a", labels) == fingerprint("prometheus", "b", shuffled)


@given(first=label_sets.filter(len), second=label_sets.filter(len))
def test_different_labels_differ(first: dict[str, str], second: dict[str, str]) -> None:
    same = fingerprint("prometheus", "t", first) == fingerprint("prometheus", "t", second)
    assert same == (first == second)


# Few characters, so that parts of neighbouring fields often look like each other.
@given(
    first=st.dictionaries(st.text("ab=,\0", max_size=3), st.text("ab=,\0", max_size=3), min_size=1, max_size=3),
    second=st.dictionaries(st.text("ab=,\0", max_size=3), st.text("ab=,\0", max_size=3), min_size=1, max_size=3),
)
def test_labels_that_concatenate_alike_differ(first: dict[str, str], second: dict[str, str]) -> None:
    assume(first != second)
    assert fingerprint("s", "t", first) != fingerprint("s", "t", second)


def test_separators_inside_values_are_not_separators() -> None:
    assert fingerprint("s", "t", {"a": "b,c=d"}) != fingerprint("s", "t", {"a": "b", "c": "d"})
    assert fingerprint("s", "t", {"ab": "c"}) != fingerprint("s", "t", {"a": "bc"})


def test_one_different_instance_is_another_trouble() -> None:
    first = fingerprint("prometheus", "down", {"alertname": "Down", "instance": "a"})
    assert first != fingerprint("prometheus", "down", {"alertname": "Down", "instance": "b"})


@given(labels=label_sets, other=label_sets, key=st.text(min_size=1, max_size=8))
def test_key_of_the_sender_comes_first(labels: dict[str, str], other: dict[str, str], key: str) -> None:
    assert fingerprint("grafana", "a", labels, key) == fingerprint("grafana", "b", other, key)


@given(first=texts, second=texts, labels=label_sets, key=st.none() | st.text(min_size=1, max_size=8))
def test_sources_never_share_a_fingerprint(first: str, second: str, labels: dict[str, str], key: str | None) -> None:
    assume(first != second)
    assert fingerprint(first, "t", labels, key) != fingerprint(second, "t", labels, key)


def test_key_is_never_taken_for_a_title_or_label() -> None:
    assert fingerprint("s", "x", {}, "x") != fingerprint("s", "x", {})
    assert fingerprint("s", "t", {"a": "b"}) != fingerprint("s", "a", {})


@given(first=texts, second=texts)
def test_without_key_and_labels_the_title_tells_alerts_apart(first: str, second: str) -> None:
    assert (fingerprint("s", first, {}) == fingerprint("s", second, {})) == (first == second)


@pytest.mark.parametrize(
    ("source", "title", "labels", "key", "expected"),
    [
        (
            "alertmanager",
            "t",
            {"instance": "a:9100", "alertname": "Down"},
            None,
            "2849a6cb347a0eef6e472363799c587fdb79cadd244db4b3bce8844f838a5d36",
        ),
        (
            "alertmanager",
            "t",
            {"alertname": "Down"},
            "a1b2",
            "2fe1dd7e30806bad4588f84a7cfa778c2bb00cddd3cc6f19e5e2e51a22ba6185",
        ),
        ("cron", "Backup failed", {}, None, "09070ad8edd1c50460a4f0b9c937b8349360bd83d6c78c591bd1706805891476"),
    ],
)
def test_values_stay_the_same_between_releases(
    source: str, title: str, labels: dict[str, str], key: str | None, expected: str
) -> None:
    """A change here would open a second incident for each open one at an upgrade."""
    assert fingerprint(source, title, labels, key) == expected
