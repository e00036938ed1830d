"""An Edge-Agent: an OpenAI-compatible proxy without a model, which answers from what it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from incident_manager.demo.llm.sentinel import severity_of

_RATINGS = {"critical": "P0", "high": "P1", "medium": "P2", "low": "P3"}


def answer_to(messages: list[dict[str, str]]) -> str:
    """What it says: JSON when the system's message asks for it, else the last message in capitals."""
    told = messages[-1]["content"]
    task = messages[0]["content"]
    if '"severity"' in task:
        return json.dumps({"severity": _RATINGS[severity_of(told)], "confidence": 0.7, "reasoning": "by its words"})
    if '"summary"' in task:
        title = json.loads(told)["title"]
        return json.dumps({"summary": f"In short: {title}", "next_steps": ["Look at the last deployment."]})
    return told.upper()


async def _chat(request: Request) -> Response:
    body = await request.json()
    text = answer_to(body["messages"])
    if body.get("stream"):
        return StreamingResponse(_events(text), media_type="text/event-stream")
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return JSONResponse({"id": "c-1", "object": "chat.completion", "model": body["model"], "choices": [choice]})


async def _events(text: str) -> AsyncIterator[str]:
    words = text.split(" ")
    for index, word in enumerate(words):
        yield _event(word if index == 0 else f" {word}")
    yield "data: [DONE]\n\n"


def _event(text: str) -> str:
    chunk: dict[str, Any] = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
    return f"data: {json.dumps(chunk)}\n\n"


async def _health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "healthy"})


ROUTES: list[BaseRoute] = [Route("/v1/chat/completions", _chat, methods=["POST"]), Route("/health", _health)]
