"""What is logged while a request is served carries the request's id."""

import logging

from starlette.types import Message, Receive, Scope, Send

from incident_manager.api.request_id import RequestId, RequestIdInLog, current_request_id


def logged() -> str:
    record = logging.makeLogRecord({"msg": "something"})
    assert RequestIdInLog().filter(record)
    return str(record.__dict__["request"])


async def test_the_log_names_the_request_that_is_served() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((logged(), str(current_request_id())))

    async def nothing(message: Message) -> None:
        raise AssertionError(message)

    async def receive() -> Message:
        raise AssertionError

    await RequestId(app)({"type": "http", "headers": [(b"x-request-id", b"find-me")]}, receive, nothing)
    assert seen == [" [find-me]", "find-me"]


def test_outside_of_a_request_the_log_names_none() -> None:
    assert logged() == ""
