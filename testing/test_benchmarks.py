"""`make bench`: a round of almost nothing, with our candidates only. Nothing here depends on how long it takes."""

from pathlib import Path

import pytest
from benchmarks import features, measure, report
from benchmarks.__main__ import main

KINDS = ("generator", "async generator")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("benchmarks")
    main(["--tiny", "--ours", "--output", str(folder)])
    return (folder / "RESULTS.md").read_text()


def rows(page: str, title: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    _, found, below = page.partition(f" {title}\n")
    assert found, f"no heading {title!r}"
    lines = below.split("\n\n## ")[0].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def test_ratios_have_a_row_for_each_candidate_and_a_column_for_each_scenario(page: str) -> None:
    head, _, *body = rows(page, "Ratios")
    assert head[:3] == ["candidate", "sync, closed", "async, closed"]
    labels = [row[0] for row in body]
    assert labels in (
        ["bare call", "empty wrapper", "recloser Python"],
        ["bare call", "empty wrapper", "recloser C", "recloser Python"],
    )
    assert {len(row) for row in body} == {len(head)} == {9}


def test_generators_have_a_table_of_their_own(page: str) -> None:
    head, _, *body = rows(page, "Generators")
    assert head[1:] == [f"{kind}, {number}" for kind in KINDS for number in ("1 item", "100 items")]
    assert [row[0] for row in body][:2] == ["bare call", "empty wrapper"]


def test_everything_measured_of_recloser_has_a_figure(page: str) -> None:
    for title in ("Ratios", "Generators", "Half-open", "Many breakers", "Window size"):
        ours = [row for row in rows(page, title) if row[0].startswith("recloser")]
        assert ours, title
        for row in ours:
            assert all(cell[0].isdigit() for cell in row[1:]), f"{title}: {row}"


def test_one_probe_at_a_time_reaches_the_dependency_before_it_answers(page: str) -> None:
    for row in rows(page, "Half-open"):
        if row[0].startswith("recloser"):
            assert (row[1], row[4]) == ("1", "1")


def test_page_says_what_was_on_and_who_is_missing(page: str) -> None:
    assert rows(page, "What was on")[0][:3] == ["candidate", "version", "window"]
    assert "recloser C" in page  # as a row, or with the reason why not


def test_block_between_the_markers_is_replaced() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.splice(page, "new") == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    with pytest.raises(ValueError, match="has no"):
        report.splice("no markers", "new")


def test_page_of_the_documentation_has_the_markers() -> None:
    path = Path(__file__).parent.parent / "docs/explanation/performance.md"
    report.splice(path.read_text(), "")


def test_rejected_calls_notice_a_call_that_went_through() -> None:
    with pytest.raises(measure.NotRejectedError):
        measure.rejected_calls(lambda _: None, ValueError)(1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(5e-9, "5 ns"), (1.234e-6, "1.23 µs"), (0.0205, "20.5 ms"), (2.0, "2 s")]
)
def test_duration_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


def test_comparison_says_of_recloser_what_trying_it_shows() -> None:
    page = features.PAGE.read_text()
    _, _, below = page.partition(features.BEGIN)
    published = [row[:2] for row in table_of(below.partition(features.END)[0])]
    tried = [row[:2] for row in table_of(features.table(features.libraries(ours=True)))]
    assert tried == published


def table_of(text: str) -> list[list[str]]:
    """The cells of a table."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_part_that_a_library_has_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(features.PARTS, "Something", {"recloser": "recloser.breaker:no_such_name"})
    with pytest.raises(LookupError, match="no_such_name"):
        features.table(features.libraries(ours=True))
