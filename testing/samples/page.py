"""A page of documentation as a list of code blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[\w-]*)\s*(?P<rest>.*)$")
_COMMENT = re.compile(r"^\s*<!-- sample: (?P<words>.*?) -->\s*$")
_LOCAL_PORT = re.compile(r"\b(?:127\.0\.0\.1|localhost):(\d{2,5})\b")

OPTIONS = {"file", "background", "port", "stop", "eventually", "not-run"}
RUNNABLE = {"python", "bash", "console"}


class SampleError(AssertionError):
    """A sample is written against the convention, or does not do what the page says."""


@dataclass(frozen=True)
class Block:
    """One fenced block, with the options of the comment above it."""

    page: Path
    line: int
    language: str
    text: str
    options: dict[str, str] = field(default_factory=dict)
    expected: str | None = None
    """What it must print, when the page says so."""

    def error(self, message: str) -> SampleError:
        """An error that says where it is."""
        return SampleError(f"{self.page}:{self.line}: {message}")


@dataclass(frozen=True)
class Page:
    """A Markdown file and its blocks, in order."""

    path: Path
    blocks: tuple[Block, ...]

    @property
    def ports(self) -> list[str]:
        """The ports of this machine that the page speaks of, each once."""
        texts = [text for block in self.blocks for text in (block.text, block.expected or "")]
        named = [block.options["port"] for block in self.blocks if "port" in block.options]
        return list(dict.fromkeys([*named, *(port for text in texts for port in _LOCAL_PORT.findall(text))]))


def read_page(path: Path) -> Page:
    """Read the samples of one page.

    Raises:
        SampleError: The page breaks the convention.
    """
    return Page(path, tuple(_joined(list(_fences(path)))))


def _fences(path: Path) -> Iterator[Block]:
    """Every fenced block and every `stop` comment; an output is still a block of its own."""
    lines = iter(enumerate(path.read_text().splitlines(), start=1))
    options: dict[str, str] = {}
    for number, line in lines:
        if comment := _COMMENT.match(line):
            options = _options(path, number, comment["words"])
            if "stop" in options:
                yield Block(path, number, "stop", "", options)
                options = {}
        elif fence := _FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner.strip() == fence["fence"]:
                    break
                body.append(inner.removeprefix(fence["indent"]))
            yield Block(path, number, fence["language"], "\n".join(body) + "\n", options)
            options = {}
        elif line.strip():
            if options:
                raise SampleError(f"{path}:{number}: a sample comment must stand right above its block")
            yield Block(path, number, "prose", line)


def _options(path: Path, number: int, words: str) -> dict[str, str]:
    """``file=a.yaml``, ``eventually``, ``not-run: a reason up to the end``."""
    if words.startswith("not-run:"):
        return {"not-run": words.removeprefix("not-run:").strip()}
    options = dict(([*word.split("=", 1), ""])[:2] for word in words.split())
    if unknown := options.keys() - OPTIONS:
        raise SampleError(f"{path}:{number}: unknown {sorted(unknown)}; a sample comment knows {sorted(OPTIONS)}")
    return options


def _joined(blocks: list[Block]) -> Iterator[Block]:
    """Drop the prose, and give each block the `text` block right after it as its expected output."""
    previous: Block | None = None
    for block in blocks:
        if block.language == "text" and not block.options:
            if previous is None or previous.language not in {"python", "bash"}:
                raise block.error("a text block is the output of the python or bash block right above it")
            yield Block(**{**vars(previous), "expected": block.text})
            previous = None
            continue
        if previous is not None:
            yield previous
        previous = None if block.language == "prose" else block
    if previous is not None:
        yield previous
