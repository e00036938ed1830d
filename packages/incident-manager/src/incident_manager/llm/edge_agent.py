"""Edge-Agent: inference by an OpenAI-compatible proxy. Any other OpenAI-compatible endpoint does as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar

import httpx2
from pydantic import BaseModel, Field

from incident_manager.llm.connection import Connection
from incident_manager.llm.errors import LlmServiceError, ServiceUnavailableError
from recloser import CircuitOpenError

NAME = "edge-agent"

_PATH = "/v1/chat/completions"

M = TypeVar("M", bound=BaseModel)

BatchError: TypeAlias = LlmServiceError | CircuitOpenError
"""Why one request of a batch has no answer."""


class Message(TypedDict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class _AnswerMessage(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _AnswerMessage


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class _Delta(BaseModel):
    content: str | None = None


class _ChunkChoice(BaseModel):
    delta: _Delta


class _Chunk(BaseModel):
    choices: list[_ChunkChoice]


class EdgeAgent:
    """Asks a model. Every method raises `LlmServiceError`, or `recloser.CircuitOpenError`.

    Args:
        connection: To the server; its base URL is what stands before `/v1`.
        model: Name of the model to ask.
        max_tokens: Length of an answer at most.
        concurrency: Requests of a batch at once.
    """

    def __init__(self, connection: Connection, model: str, *, max_tokens: int = 500, concurrency: int = 4) -> None:
        self.breaker = connection.breaker
        self._connection = connection
        self._model = model
        self._max_tokens = max_tokens
        self._at_once = asyncio.Semaphore(concurrency)

    async def infer(self, messages: Sequence[Message]) -> str:
        """The model's answer."""
        answer = await self._connection.post(_PATH, self._request(messages), _Completion)
        return answer.choices[0].message.content

    async def ask(self, messages: Sequence[Message], answer: type[M]) -> M:
        """The model's answer, read as JSON of this form.

        Raises:
            MalformedAnswerError: It is not of this form, which counts as a failure of the model.
        """

        def read(completion: _Completion) -> M:
            return self._connection.read(answer, completion.choices[0].message.content)

        body = {**self._request(messages), "response_format": {"type": "json_object"}}
        return await self._connection.ask(_PATH, body, _Completion, read)

    def stream(self, messages: Sequence[Message]) -> AsyncGenerator[str, None]:
        """The model's answer, piece by piece. A stream that ends before its `[DONE]` raises."""
        body = {**self._request(messages), "stream": True}
        return self._connection.stream(_PATH, body, self._text)

    async def submit_batch(self, requests: Sequence[Sequence[Message]]) -> Sequence[str | BatchError]:
        """Answers to several requests, in order; a request that failed has its error in place of an answer."""

        async def one(messages: Sequence[Message]) -> str | BatchError:
            async with self._at_once:
                try:
                    return await self.infer(messages)
                except (LlmServiceError, CircuitOpenError) as error:
                    return error

        return await asyncio.gather(*(one(messages) for messages in requests))

    async def health(self) -> None:
        """Return when it is well."""
        await self._connection.check("/health")

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    def _request(self, messages: Sequence[Message]) -> dict[str, Any]:
        return {"model": self._model, "messages": list(messages), "max_tokens": self._max_tokens, "temperature": 0}

    def _text(self, event: httpx2.ServerSentEvent) -> str | None:
        if event.event == "error" or event.data.lstrip().startswith('{"error"'):
            raise ServiceUnavailableError(self._connection.service, "the stream told of an error")
        chunk = self._connection.read(_Chunk, event.data)
        return chunk.choices[0].delta.content or None if chunk.choices else None
