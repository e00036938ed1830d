"""The retry delay in a status, as the official packages write it, and in bytes that are nobody's."""

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from recloser.integrations._retry_info import retry_delay


def packed(*details: RetryInfo | DebugInfo) -> bytes:
    status = Status(code=14, message="busy")
    for detail in details:
        entry = Any()
        entry.Pack(detail)
        status.details.append(entry)
    return status.SerializeToString()


@given(st.integers(0, 315_576_000_000), st.integers(0, 999_999_999))
def test_delay_is_read_as_it_was_written(seconds: int, nanos: int) -> None:
    status = packed(DebugInfo(detail="x"), RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos)))
    assert retry_delay(status) == seconds + nanos / 1e9


@given(st.integers(-315_576_000_000, -1), st.integers(-999_999_999, 0))
def test_negative_delay_is_none(seconds: int, nanos: int) -> None:
    assert retry_delay(packed(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos)))) is None


def test_status_without_retry_info_has_no_delay() -> None:
    assert retry_delay(packed(DebugInfo(detail="x"))) is None
    assert retry_delay(b"") is None


def test_retry_info_without_a_delay_asks_for_none() -> None:
    assert retry_delay(packed(RetryInfo())) == 0


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(status: bytes) -> None:
    delay = retry_delay(status)
    assert delay is None or delay >= 0


@given(st.data())
def test_damaged_status_is_answered(data: st.DataObject) -> None:
    status = bytearray(packed(RetryInfo(retry_delay=Duration(seconds=7))))
    status[data.draw(st.integers(0, len(status) - 1))] = data.draw(st.integers(0, 255))
    delay = retry_delay(bytes(status[: data.draw(st.integers(0, len(status)))]))
    assert delay is None or delay >= 0
