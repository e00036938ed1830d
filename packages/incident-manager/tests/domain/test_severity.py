"""Severities are ordered and understand the words other systems use."""

import pytest

from incident_manager.domain.severity import Severity, max_severity


@pytest.mark.parametrize(
    ("severity", "label", "words"),
    [
        (Severity.P0, "critical", "P0 p0 critical CRITICAL fatal emergency page"),
        (Severity.P1, "high", "P1 high error major"),
        (Severity.P2, "medium", "P2 medium warning warn minor"),
        (Severity.P3, "low", "P3 low notice"),
        (Severity.P4, "info", "P4 info informational none debug"),
    ],
)
def test_usual_words_are_understood(severity: Severity, label: str, words: str) -> None:
    assert {Severity.parse(word) for word in words.split()} == {severity}
    assert severity.label == label
    assert Severity.parse(severity.label) is severity


def test_space_around_a_word_is_ignored() -> None:
    assert Severity.parse(" Warning\n") is Severity.P2


@pytest.mark.parametrize("text", ["", "P5", "P", "criticall", "0"])
def test_other_words_are_refused_with_the_word_and_the_choice(text: str) -> None:
    with pytest.raises(ValueError, match="is not a severity; use one of p0, critical") as caught:
        Severity.parse(text)
    assert repr(text) in str(caught.value)


def test_rank_falls_from_p0_to_p4() -> None:
    assert [severity.rank for severity in Severity] == [0, 1, 2, 3, 4]
    assert Severity.P0.worse_than(Severity.P1)
    assert not Severity.P1.worse_than(Severity.P1)


def test_maximum_is_the_worst() -> None:
    assert max_severity(Severity.P3, Severity.P1, Severity.P4) is Severity.P1
    assert max_severity(Severity.P4) is Severity.P4
