"""Every relative link in the documentation leads to a file, and every anchor to a heading. Nothing is fetched."""

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("packages/*/*.md"), *DOCS.glob("**/*.md")])
MARKDOWN = MarkdownIt("commonmark").enable("table")


def tokens(page: Path) -> Iterator[Token]:
    for token in MARKDOWN.parse(page.read_text()):
        yield token
        yield from token.children or ()


def targets(page: Path) -> Iterator[str]:
    """What the links and images of a page point to."""
    for token in tokens(page):
        target = token.attrGet("href") or token.attrGet("src")
        if target is not None:
            yield str(target)
        if token.type in ("html_inline", "html_block"):
            yield from re.findall(r"""(?:href|src)=["']([^"']+)""", token.content)


def headings(page: Path) -> Iterator[str]:
    """The texts of the headings of a page, without their marks."""
    blocks = MARKDOWN.parse(page.read_text())
    for opening, inline in itertools.pairwise(blocks):
        if opening.type == "heading_open":
            yield "".join(part.content for part in inline.children or ())


def slug_of_mkdocs(heading: str) -> str:
    """As the extension `toc` of Python-Markdown makes it."""
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def slug_of_github(heading: str) -> str:
    """As GitHub makes it for a file of a repository."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def anchors(page: Path, slug_of: Callable[[str], str], mark: str) -> set[str]:
    """The anchors of a page; a heading that occurs again has its number behind the mark."""
    found: set[str] = set()
    for heading in headings(page):
        slug = first = slug_of(heading)
        number = 0
        while slug in found:
            number += 1
            slug = f"{first}{mark}{number}"
        found.add(slug)
    return found | set(re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE))


def problem(page: Path, link: str) -> str | None:
    """What is wrong with a link of a page, or None."""
    url = urlsplit(link)
    if url.scheme or url.netloc:
        return None
    target = (page.parent / unquote(url.path)).resolve() if url.path else page
    if url.path.startswith("/"):
        return "is not relative"
    if not target.exists():
        return "leads nowhere"
    if page.is_relative_to(DOCS) and not target.is_relative_to(DOCS):
        return "leads out of the site"
    if url.fragment and target.suffix == ".md":
        # Pages of the site are read there, the others where the repository is.
        rule = (slug_of_mkdocs, "_") if page.is_relative_to(DOCS) else (slug_of_github, "-")
        if url.fragment not in anchors(target, *rule):
            return "names no heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_the_page_lead_somewhere(page: Path) -> None:
    found = {link: problem(page, link) for link in targets(page)}
    assert {link: why for link, why in found.items() if why} == {}


def test_links_that_lead_nowhere_are_found() -> None:
    page = DOCS / "index.md"
    assert problem(page, "reference/api.md#routes-and-roles") is None
    assert problem(page, "reference/api.md#no-such-heading") == "names no heading"
    assert problem(page, "reference/no-such-page.md") == "leads nowhere"
    assert problem(page, "../README.md") == "leads out of the site"
    assert problem(page, "/reference/api.md") == "is not relative"


def test_every_page_is_in_the_navigation_once() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(pages_of(navigation)) == sorted(str(page.relative_to(DOCS)) for page in DOCS.glob("**/*.md"))


def pages_of(part: object) -> list[str]:
    """The pages that a part of the navigation names."""
    if isinstance(part, str):
        return [part]
    below = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
    return [page for one in below for page in pages_of(one)]


def test_files_that_the_implementation_guide_names_exist() -> None:
    page = (DOCS / "explanation/implementation.md").read_text()
    roots = [ROOT, *ROOT.glob("packages/*"), *ROOT.glob("packages/*/src/*")]
    folders = [*roots, *(path for package in ("pipeline", "store") for root in roots for path in root.glob(package))]
    named = re.findall(r"`([\w/]+(?:\.py|\.md|/))`", page)
    assert len(named) > 40
    assert [name for name in named if not any((folder / name).exists() for folder in folders)] == []
