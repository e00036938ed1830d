"""The real SDKs of model providers behind one face, and what their providers say."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import openai
from packages.recloser.tests.integrations.raw_server import END, Reply, chunk, chunked_head

from recloser.integrations import anthropic as recloser_anthropic
from recloser.integrations import openai as recloser_openai

MESSAGES: Any = [{"role": "user", "content": "hello"}]


def event(data: dict[str, Any] | str, name: str = "") -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def sse(*steps: bytes | str | Callable[[], object], **headers: str) -> Reply:
    """A reply that streams events: bytes are sent as chunks, other steps are done."""
    head = chunked_head(content_type="text/event-stream", **headers)
    return [head, *(chunk(step) if isinstance(step, bytes) and step != END else step for step in steps)]


class OpenAI:
    """Chat completions."""

    name = "openai"
    sdk: Any = openai
    protect = staticmethod(recloser_openai.protect)
    path = "/v1"
    sync, asynchronous = openai.OpenAI, openai.AsyncOpenAI

    tokens = tuple(event({"choices": [{"index": 0, "delta": {"content": word}}]}) for word in ("one", "two"))
    prelude: bytes = b": keepalive\n\n"
    ending = event("[DONE]")
    answer = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}}]}).encode()

    @staticmethod
    def error_event(code: str) -> bytes:
        return event({"error": {"message": "sorry", "code": code}})

    @staticmethod
    def create(client: Any, **arguments: Any) -> Any:
        return client.chat.completions.create(model="small", messages=MESSAGES, **arguments)


class OpenAIResponses(OpenAI):
    """The newer interface, whose events have names and no [DONE]."""

    tokens = tuple(
        event({"type": "response.output_text.delta", "delta": word}, "response.output_text.delta")
        for word in ("one", "two")
    )
    prelude = event({"type": "response.created", "response": {}}, "response.created")
    ending = event({"type": "response.completed", "response": {"error": None}}, "response.completed")
    answer = json.dumps({"id": "r", "object": "response", "output": []}).encode()

    @staticmethod
    def error_event(code: str) -> bytes:
        failed = {"type": "response.failed", "response": {"error": {"code": code, "message": "sorry"}}}
        return event(failed, "response.failed")

    @staticmethod
    def create(client: Any, **arguments: Any) -> Any:
        return client.responses.create(model="small", input="hello", **arguments)


class Anthropic:
    """Messages."""

    name = "anthropic"
    sdk: Any = anthropic
    protect = staticmethod(recloser_anthropic.protect)
    path = ""
    sync, asynchronous = anthropic.Anthropic, anthropic.AsyncAnthropic

    tokens = tuple(
        event(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}},
            "content_block_delta",
        )
        for word in ("one", "two")
    )
    prelude = event({"type": "ping"}, "ping")
    ending = event({"type": "message_stop"}, "message_stop")
    answer = json.dumps(
        {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "fine"}]}
    ).encode()

    @staticmethod
    def error_event(code: str) -> bytes:
        return event({"type": "error", "error": {"type": code, "message": "sorry"}}, "error")

    @staticmethod
    def create(client: Any, **arguments: Any) -> Any:
        return client.messages.create(model="small", max_tokens=9, messages=MESSAGES, **arguments)


PROVIDERS: list[Any] = [OpenAI, OpenAIResponses, Anthropic]


class Sync:
    """A protected sync client of one provider."""

    def __init__(self, provider: Any, url: str, *, retries: int = 0, timeout: float = 5, **options: Any) -> None:
        self.provider = provider
        made = provider.sync(base_url=url + provider.path, api_key="key", max_retries=retries, timeout=timeout)
        self.client = provider.protect(made, **options)

    def ask(self, **arguments: Any) -> None:
        """A plain call."""
        self.provider.create(self.client, **arguments)

    def stream(self, **arguments: Any) -> Iterator[Any]:
        """A streaming call; items as they come."""
        return iter(self.provider.create(self.client, stream=True, **arguments))

    def close(self) -> None:
        self.client.close()


class Async:
    """A protected async client of one provider; see `Sync`."""

    def __init__(self, provider: Any, url: str, *, retries: int = 0, timeout: float = 5, **options: Any) -> None:
        self.provider = provider
        made = provider.asynchronous(base_url=url + provider.path, api_key="key", max_retries=retries, timeout=timeout)
        self.client = provider.protect(made, **options)

    async def ask(self, **arguments: Any) -> None:
        """A plain call."""
        await self.provider.create(self.client, **arguments)

    async def stream(self, **arguments: Any) -> AsyncIterator[Any]:
        """A streaming call; items as they come."""
        return aiter(await self.provider.create(self.client, stream=True, **arguments))

    async def close(self) -> None:
        await self.client.close()


__all__ = ["END", "PROVIDERS", "Anthropic", "Async", "OpenAI", "OpenAIResponses", "Sync", "event", "sse"]
