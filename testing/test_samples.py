"""The runner of documentation samples notices what is wrong with them."""

import re
from pathlib import Path

import pytest

from testing.samples import SampleError, read_page, run_page
from testing.samples.runner import matches


def run(tmp_path: Path, text: str) -> list[str]:
    page = tmp_path / "page.md"
    page.write_text(text.replace("'''", "```"))
    folder = tmp_path / "folder"
    folder.mkdir()
    return run_page(read_page(page), folder)


GOOD = {
    "python": "'''python\nprint(6 * 7)\n'''\n\n'''text\n42\n'''\n",
    "python without output": "'''python\nassert 6 * 7 == 42\n'''\nNobody looks at what it prints.\n",
    "bash": "'''bash\necho one; echo two\n'''\n'''text\none\ntwo\n'''\n",
    "console": "'''console\n$ echo one\none\n$ printf '%s\\n' \\\n    two\ntwo\n'''\n",
    "indented": "1. A\n\n   '''python\n   if True:\n       print(1)\n   '''\n\n   '''text\n   1\n   '''\n",
    "a file": "<!-- sample: file=a.yaml -->\n'''yaml\nb: 42\n'''\n'''console\n$ cat a.yaml\nb: 42\n'''\n",
    "any text": "'''console\n$ echo id-8731 done\nid-... done\n'''\n",
    "other languages": "'''yaml\nnot: [run\n'''\n'''\nnor this\n'''\n",
}

WRONG = {
    "python raises": ("'''python\n\n1 / 0\n'''\n", "page.md:1: it ended with 1.*ZeroDivisionError"),
    "python prints else": ("'''python\nprint(41)\n'''\n'''text\n42\n'''\n", r"something else:.*-42\n\+41"),
    "bash fails in the middle": ("'''bash\nfalse\ntrue\n'''\n", "it ended with 1"),
    "bash fails in a pipe": ("'''bash\nfalse | cat\n'''\n", "it ended with 1"),
    "console prints else": (
        "Text\n\n'''console\n$ echo 1\n$ echo 2\n2\n'''\n",
        r"page.md:3: .*something else",
    ),
    "console without command": ("'''console\necho 1\n'''\n", "begins with"),
    "output of nothing": ("'''text\n42\n'''\n", "right above"),
    "output after prose": ("'''bash\necho 1\n'''\nprints\n'''text\n1\n'''\n", "right above"),
    "unknown option": ("<!-- sample: fle=a -->\n'''yaml\na: 1\n'''\n", r"page.md:1: unknown \['fle'\]"),
    "comment away from its block": ("<!-- sample: file=a -->\nProse.\n'''yaml\na: 1\n'''\n", "right above"),
    "background without port": ("<!-- sample: background=a -->\n'''bash\ntrue\n'''\n", "on which port"),
    "background that ends": (
        "<!-- sample: background=a port=9000 -->\n'''bash\necho sorry\n'''\n",
        "does not listen on port 9000:.*sorry",
    ),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_right_sample_passes(tmp_path: Path, text: str) -> None:
    assert run(tmp_path, text) == []


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_sample_fails_and_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SampleError) as caught:
        run(tmp_path, text)
    assert re.search(message, str(caught.value), re.DOTALL), caught.value


def test_sample_that_is_not_run_gives_its_reason(tmp_path: Path) -> None:
    text = "<!-- sample: not-run: it needs a network -->\n'''bash\nexit 1\n'''\n"
    assert run(tmp_path, text) == ["page.md:2: it needs a network"]


SERVER = """
<!-- sample: background=files port=9000 -->
'''bash
python -m http.server --bind 127.0.0.1 9000
'''
<!-- sample: file=hello.txt -->
'''yaml
http://127.0.0.1:9000
'''
'''console
$ curl -s http://localhost:9000/hello.txt
http://127.0.0.1:9000
'''
"""


def test_background_sample_serves_on_a_free_port_that_the_page_does_not_see(tmp_path: Path) -> None:
    assert run(tmp_path, SERVER) == []
    written = (tmp_path / "folder/hello.txt").read_text()
    assert "9000" not in written


def test_stopped_sample_is_gone(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="it ended with 7"):
        run(tmp_path, SERVER + "<!-- sample: stop=files -->\n'''bash\ncurl -s http://localhost:9000/\n'''\n")


def test_eventually_repeats_until_the_output_is_right(tmp_path: Path) -> None:
    sample = "'''bash\necho >> lines; wc -l < lines | tr -d ' '\n'''\n'''text\n3\n'''\n"
    text = f"<!-- sample: eventually -->\n{sample}"
    assert run(tmp_path, text) == []
    assert (tmp_path / "folder/lines").read_text() == "\n" * 3


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "ab", False),
        ("a...c", "abbc", True),
        ("a...c", "a\nc", False),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nd", "a\nd", True),
        ("a\n...\nd", "a\nb", False),
        ("a.c", "abc", False),
        ("a", "a  \n\n", True),
        ("a\n\nb", "a\nb", False),
    ],
)
def test_dots_stand_for_any_text(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same
