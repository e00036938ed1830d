"""Reads `google.rpc.RetryInfo` out of a serialized `google.rpc.Status`, so that no protobuf package is needed for it.

The messages are those of google/rpc/status.proto and google/rpc/error_details.proto, in the wire format of
https://protobuf.dev/programming-guides/encoding/. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

_DETAILS, _TYPE_URL, _VALUE, _RETRY_DELAY, _SECONDS, _NANOS = 3, 1, 2, 1, 1, 2
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_DURATION = 315_576_000_000  # of a google.protobuf.Duration, in seconds


def retry_delay(status: bytes) -> float | None:
    """The seconds of the first RetryInfo in a status; None when there is none, or the bytes are malformed."""
    try:
        for detail in _messages(status, _DETAILS):
            url = b"".join(_messages(detail, _TYPE_URL))
            if url.rpartition(b"/")[2] == b"google.rpc.RetryInfo":
                return _duration(b"".join(_messages(b"".join(_messages(detail, _VALUE)), _RETRY_DELAY)))
    except (ValueError, IndexError):
        return None
    return None


def _duration(message: bytes) -> float | None:
    numbers = {number: value for number, value in _fields(message) if isinstance(value, int)}
    seconds, nanos = numbers.get(_SECONDS, 0), numbers.get(_NANOS, 0)
    # A negative number is a huge one on the wire.
    return seconds + nanos / 1e9 if seconds <= _LONGEST_DURATION and nanos < 1_000_000_000 else None


def _messages(message: bytes, number: int) -> list[bytes]:
    return [value for found, value in _fields(message) if found == number and isinstance(value, bytes)]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message as (number, value). Raises ValueError or IndexError when it is malformed."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _varint(message, at)
        else:
            size = _FIXED_SIZES.get(kind)
            if kind == _LENGTH:
                size, at = _varint(message, at)
            if size is None or at + size > len(message):
                raise ValueError(f"malformed field of wire type {kind} at byte {at}")
            value, at = message[at : at + size], at + size
        yield tag >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 10 bytes")
