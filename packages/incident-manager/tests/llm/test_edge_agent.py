"""Edge-Agent, or any other OpenAI-compatible endpoint."""

import asyncio
from contextlib import aclosing

import pytest

from incident_manager.demo.llm.faults import Fault
from incident_manager.demo.llm.server import ServiceServer
from incident_manager.domain.severity import Severity
from incident_manager.llm.assistant import ModelAssistant
from incident_manager.llm.edge_agent import EdgeAgent, Message
from incident_manager.llm.errors import MalformedAnswerError, ServiceUnavailableError

from .conftest import IncidentMaker

HELLO: list[Message] = [{"role": "user", "content": "hello there world"}]


async def test_answer_is_text(agent: EdgeAgent) -> None:
    assert await agent.infer(HELLO) == "HELLO THERE WORLD"


async def test_stream_comes_piece_by_piece(agent: EdgeAgent) -> None:
    assert [piece async for piece in agent.stream(HELLO)] == ["HELLO", " THERE", " WORLD"]
    assert agent.breaker.stats().calls["success"] == 1


async def test_stream_that_breaks_off_is_a_failure(agent: EdgeAgent, edge_agent_server: ServiceServer) -> None:
    edge_agent_server.switch.fault = Fault.TRUNCATED
    with pytest.raises(ServiceUnavailableError):
        async for _ in agent.stream(HELLO):
            pass
    assert agent.breaker.stats().failed == 1


async def test_stream_that_ends_without_its_marker_is_a_failure(
    agent: EdgeAgent, edge_agent_server: ServiceServer
) -> None:
    edge_agent_server.switch.events = ['{"choices": [{"index": 0, "delta": {"content": "half"}}]}']
    pieces = agent.stream(HELLO)
    assert await anext(pieces) == "half"
    with pytest.raises(ServiceUnavailableError, match="ended before it was done"):
        await anext(pieces)
    assert agent.breaker.stats().failed == 1


async def test_error_within_a_stream_is_a_failure(agent: EdgeAgent, edge_agent_server: ServiceServer) -> None:
    edge_agent_server.switch.events = ['{"error": {"message": "overloaded"}}', "[DONE]"]
    with pytest.raises(ServiceUnavailableError, match="told of an error"):
        async for _ in agent.stream(HELLO):
            pass
    assert agent.breaker.stats().failed == 1


async def test_stream_closed_early_says_nothing_about_the_service(agent: EdgeAgent) -> None:
    async with aclosing(agent.stream(HELLO)) as pieces:
        assert await anext(pieces) == "HELLO"
    assert agent.breaker.stats().calls["ignored"] == 1


async def test_batch_has_an_answer_or_an_error_for_each_request(
    agent: EdgeAgent, edge_agent_server: ServiceServer
) -> None:
    assert await agent.submit_batch([HELLO, HELLO]) == ["HELLO THERE WORLD"] * 2
    edge_agent_server.switch.fault = Fault.ERROR
    [error] = await agent.submit_batch([HELLO])
    assert isinstance(error, ServiceUnavailableError)


async def test_caller_that_gives_up_says_nothing_about_the_service(
    agent: EdgeAgent, edge_agent_server: ServiceServer
) -> None:
    edge_agent_server.switch.fault = Fault.HANG
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await agent.infer(HELLO)
    assert agent.breaker.stats().calls["ignored"] == 1


async def test_model_rates_an_incident(agent: EdgeAgent, make_incident: IncidentMaker) -> None:
    prediction = await ModelAssistant(agent).predict_severity(make_incident("Total outage"))
    assert prediction is not None
    assert prediction.severity is Severity.P0


async def test_model_summarizes_an_incident(agent: EdgeAgent, make_incident: IncidentMaker) -> None:
    summary = await ModelAssistant(agent).summarize(make_incident("Checkout is slow"))
    assert summary.text == "In short: Checkout is slow"
    assert summary.next_steps == ("Look at the last deployment.",)


@pytest.mark.parametrize(
    "content", ["I cannot do that", '{"severity": "P9", "confidence": 1, "reasoning": "x"}', '{"severity": "P0"}', "[]"]
)
async def test_model_that_answers_something_else_has_failed(
    agent: EdgeAgent, edge_agent_server: ServiceServer, make_incident: IncidentMaker, content: str
) -> None:
    edge_agent_server.switch.answer = {"choices": [{"message": {"role": "assistant", "content": content}}]}
    with pytest.raises(MalformedAnswerError):
        await ModelAssistant(agent).predict_severity(make_incident())
    assert agent.breaker.stats().failed == 1
