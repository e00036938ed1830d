"""`make bench-service`: each part once, with almost nothing to do. Nothing here depends on how long it takes.

Run with `BENCHMARKS=1 make test`: it keeps both cores busy, which other tests would feel.
"""

import itertools
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.report import splice
from benchmarks.service import report, shapes
from benchmarks.service.__main__ import PAGE, main
from benchmarks.service.load import Measured
from benchmarks.service.throughput import Pair, Throughput

pytestmark = pytest.mark.skipif(not os.environ.get("BENCHMARKS"), reason="BENCHMARKS is not set")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    main(["--tiny", "--output", str(folder)])
    return folder


def test_every_store_and_shape_and_every_failure_is_measured(folder: Path) -> None:
    found = json.loads((folder / "service.json").read_text())
    measured = Counter((each["store"], each["shape"]["name"]) for each in found["throughput"])
    assert len(measured) == 6
    assert all(pair[side]["alerts"] > 0 for e in found["throughput"] for pair in e["pairs"] for side in pair)
    assert len(found["failures"]) == 6


def test_nothing_is_refused_while_a_dependency_fails(folder: Path) -> None:
    found = json.loads((folder / "service.json").read_text())
    for failure in found["failures"]:
        for trial in failure["trials"]:
            assert trial["failing"]["refused"] == {}, failure["name"]


def test_alerts_go_into_the_journal_exactly_while_the_database_fails(folder: Path) -> None:
    found = json.loads((folder / "service.json").read_text())
    for failure in found["failures"]:
        for trial in failure["trials"]:
            assert trial["healthy"]["journaled"] == 0
            expected = trial["failing"]["alerts"] if failure["name"].startswith("PostgreSQL") else 0
            assert trial["failing"]["journaled"] == expected, failure["name"]


def test_page_has_a_row_for_each_measurement(folder: Path) -> None:
    page = (folder / "SERVICE.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 * 2 + 6 + 6  # two heads with their rulers


def test_ratio_is_that_of_each_pair() -> None:
    def measured(alerts: int) -> Measured:
        return Measured(alerts, seconds=2.0, p50=0.1, p99=0.2, refused={}, journaled=0, busy=0.1)

    pairs = [Pair(measured(100), measured(50)), Pair(measured(10), measured(10)), Pair(measured(40), measured(30))]
    assert Throughput("SQLite", shapes.SINGLE, pairs).ratio().median == 0.75


def test_requests_report_as_many_new_troubles_as_their_shape_says() -> None:
    made = itertools.islice(shapes.requests(shapes.MIXED, "localhost"), 100)
    keys = [json.loads(request.partition(b"\r\n\r\n")[2])["dedup_key"] for request in made]
    assert sum(not key.startswith("known-") for key in keys) == 5
    assert len({key for key in keys if key.startswith("known-")}) <= shapes.KNOWN


def test_page_of_the_documentation_has_the_markers() -> None:
    splice(PAGE.read_text(), "", report.BEGIN, report.END)


def test_page_says_on_how_many_cores_it_was_measured(folder: Path) -> None:
    found = json.loads((folder / "service.json").read_text())
    assert f"{found['cores']} cores" in (folder / "SERVICE.md").read_text()
