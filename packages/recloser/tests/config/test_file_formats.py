"""YAML and TOML say the same; what is neither is refused with a place."""

import subprocess
import sys
from pathlib import Path

import pytest
from packages.recloser.tests.config.conftest import Load

from recloser import ConfigError, load_config

YAML = """
defaults:
  failure_threshold: none
  failure_rate_threshold: 0.5
groups:
  apis: {window: {duration: 60, buckets: 6}, tags: {team: web}}
breakers:
  payments:
    group: apis
    preset: http_api
    recovery: {strategy: exponential, factor: 3, max_open: 300}
  api.example.com:
    count_in_flight_slow_calls: true
    slow_call_duration: 2
    slow_call_rate_threshold: 1
"""
TOML = """
[defaults]
failure_threshold = "none"
failure_rate_threshold = 0.5

[groups.apis]
window = {duration = 60, buckets = 6}
tags.team = "web"

[breakers.payments]
group = "apis"
preset = "http_api"
recovery = {strategy = "exponential", factor = 3, max_open = 300}

[breakers."api.example.com"]
count_in_flight_slow_calls = true
slow_call_duration = 2
slow_call_rate_threshold = 1
"""


def test_yaml_and_toml_mean_the_same(load: Load) -> None:
    one, other = load(YAML), load(TOML, "breakers.toml")
    assert one.names == other.names == ["payments", "api.example.com"]
    for name in one.names:
        assert one.settings_for(name) == other.settings_for(name)
        assert [row[:2] for row in one.explain(name)] == [row[:2] for row in other.explain(name)]


@pytest.mark.parametrize("name", ["breakers.yml", "BREAKERS.YAML", "breakers.toml"])
def test_empty_file_has_no_breakers(load: Load, name: str) -> None:
    assert load("", name).names == []
    assert load("# nothing yet\n", name).names == []


def test_empty_sections_are_no_sections(load: Load) -> None:
    assert load("defaults:\ngroups:\nbreakers:\n  payments:\n").names == ["payments"]


def test_merge_keys_and_aliases_work(load: Load) -> None:
    config = load(
        "breakers:\n  a: &a {open_for: 3, minimum_calls: 4}\n  b: {<<: *a, open_for: 5}\n  c: *a\n"
        "  d: {<<: [*a, {half_open_timeout: 9}]}\n"
    )
    assert [config.settings_for(name).open_for for name in config.names] == [3.0, 5.0, 3.0, 3.0]
    assert {config.settings_for(name).minimum_calls for name in config.names} == {4}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.yaml",
            "breakers:\n  a:\n    open_for: 1\n    open_for: 2\n",
            "a.yaml: breakers.a.open_for: is given twice: first on line 3, again on line 4",
        ),
        (
            "a.yaml",
            "breakers:\n  a: {}\n  'a': {}\n",
            "a.yaml: breakers.a: is given twice: first on line 2, again on line 3",
        ),
        ("a.toml", "[breakers.a]\nopen_for = 1\nopen_for = 2\n", "a.toml: is not valid TOML: Cannot overwrite a value"),
        ("a.yaml", "breakers: {a: [", "a.yaml: is not valid YAML: "),
        ("a.yaml", "a: 'b\n\nc: d", "a.yaml: is not valid YAML: found unexpected end of stream (line 3, column 5)"),
        ("a.yaml", "a: &a 1\nb: *c", "a.yaml: is not valid YAML: found undefined alias 'c' (line 2, column 4)"),
        ("a.yaml", "a: 1\n---\nb: 2", "a.yaml: is not valid YAML: but found another document (line 2, column 1)"),
        ("a.yaml", "breakers: \0", "a.yaml: is not valid YAML: "),
        ("a.yaml", "a: !!python/object:os.system x", "a.yaml: is not valid YAML: could not determine a constructor"),
        ("a.yaml", "defaults: {tags: {a: 2024-13-45}}", "a.yaml: is not valid YAML: month must be in 1..12"),
        ("a.yaml", "[" * 1_500, "a.yaml: is nested too deeply"),
        ("a.yaml", "breakers: &a {a: *a}", "a.yaml: breakers.a.a: is not a known key"),
        ("a.toml", "breakers", "a.toml: is not valid TOML: "),
        ("a.toml", "a = " + "[" * 10_000, "a.toml: is nested too deeply"),
        ("a.json", "{}", "a.json: its name must end in .yaml, .yml, .toml: '.json' is none"),
        ("breakers", "{}", "breakers: its name must end in .yaml, .yml, .toml: 'no suffix' is none"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(load: Load, name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text, name)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["a.yaml", "a.toml"])
def test_text_that_is_not_utf8_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match="can't decode byte 0xff"):
        load_config(path, {})


@pytest.mark.parametrize("name", ["a.yaml", "a.toml"])
def test_byte_order_mark_is_no_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf# saved by an editor of the other world\n")
    assert load_config(path, {}).names == []


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.yaml: cannot be read: No such file or directory"):
        load_config(tmp_path / "a.yaml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path, {})


def test_expanding_aliases_make_no_endless_message(load: Load) -> None:
    bomb = "a0: &a0 [x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    indented = bomb.replace("\n", "\n    ")
    with pytest.raises(ConfigError) as caught:
        load(f"defaults:\n  tags:\n    {indented}\n")
    assert len(str(caught.value)) < 1_000


WITHOUT_YAML = """
import sys
sys.modules["yaml"] = None  # as if it were not installed
from recloser import ConfigError, load_config
print(load_config("a.toml").names)
try:
    load_config("a.yaml")
except ConfigError as error:
    print(error)
"""


def test_without_pyyaml_toml_works_and_yaml_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[breakers.payments]\n")
    (tmp_path / "a.yaml").write_text("breakers: {payments: {}}\n")
    run = [sys.executable, "-c", WITHOUT_YAML]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "['payments']",
        "a.yaml: reading YAML needs PyYAML: pip install 'recloser[yaml]', or write the file in TOML",
    ]


def test_library_alone_imports_no_parser() -> None:
    program = "import recloser, sys; print({'yaml', 'tomllib', 'argparse'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
