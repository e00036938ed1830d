"""Every sample in the README and in the documentation works as it is printed."""

from pathlib import Path

import pytest
from testing.samples import read_page, run_page

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_samples_of_the_page_work_as_printed(path: Path, tmp_path: Path) -> None:
    for reason in run_page(read_page(path), tmp_path):
        print("not run:", reason)
