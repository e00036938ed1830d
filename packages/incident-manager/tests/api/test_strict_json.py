"""Bodies are JSON as the standard says, and hold nothing that cannot be stored."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.api.strict_json import MAX_DEPTH, JsonError, parse_json

plain = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
values = st.recursive(plain | text, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20)


@given(values)
def test_every_json_value_comes_back_as_it_was(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_else(body: bytes) -> None:
    with contextlib.suppress(JsonError):
        parse_json(body)


REFUSED = {
    "invalid UTF-8": (b'{"a": "\xff"}', "not UTF-8: byte 7 is 0xff"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf{}", "not JSON"),
    "nothing": (b"", "not JSON"),
    "two values": (b"{} {}", "Extra data at line 1 column 4"),
    "trailing comma": (b'{"a": 1,}', "not JSON"),
    "single quotes": (b"{'a': 1}", "not JSON"),
    "raw control character": (b'"a\nb"', "not JSON"),
    "duplicate key": (b'{"a": 1, "b": 2, "a": 3}', 'key "a" occurs twice'),
    "duplicate key, escaped": (b'{"a": 1, "\\u0061": 3}', 'key "a" occurs twice'),
    "duplicate key inside": (b'[{"x": {"a": 1, "a": 1}}]', 'key "a" occurs twice'),
    "NaN": (b'{"a": NaN}', "NaN is not a JSON number"),
    "Infinity": (b"[Infinity]", "Infinity is not a JSON number"),
    "-Infinity": (b"-Infinity", "-Infinity is not a JSON number"),
    "number beyond a float": (b"[1e999]", '"1e999" is too large'),
    "number beyond 64 bits": (b"1" * 21, "is too large"),
    "number of a million digits": (b"1" * 1_000_000, "is too large"),
    "half a surrogate pair": (b'{"a": "\\ud800"}', 'string "\\\\ud800" contains half'),
    "half a surrogate pair in a key": (b'{"\\udfff": 1}', "half of a surrogate pair"),
    "U+0000": (b'["a\\u0000b"]', "contains U\\+0000"),
    "U+0000 in a key": (b'{"\\u0000": 1}', "contains U\\+0000"),
}


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_json_is_refused_with_the_reason(body: bytes, message: str) -> None:
    with pytest.raises(JsonError, match=message) as caught:
        parse_json(body)
    assert len(str(caught.value)) < 200


def test_whole_surrogate_pair_is_one_character() -> None:
    assert parse_json(b'"\\ud83d\\ude80"') == "\N{ROCKET}"


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("leaf", [b"", b"1"])
def test_depth_is_limited_exactly(opening: bytes, leaf: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    inner = leaf if opening == b"[" else leaf or b"1"

    def nested(depth: int) -> bytes:
        return opening * depth + inner + closing * depth

    parse_json(nested(MAX_DEPTH))
    with pytest.raises(JsonError, match=f"deeper than {MAX_DEPTH}"):
        parse_json(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("body", [b"[" * 500_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_absurd_depth_is_refused_and_breaks_nothing(body: bytes) -> None:
    with pytest.raises(JsonError):
        parse_json(body)
