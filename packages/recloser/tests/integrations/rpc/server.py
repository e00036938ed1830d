"""A real gRPC server that does what a test tells it; as a program it is one that can be killed and frozen."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeAlias

import grpc

HOST = "127.0.0.1"

FAST_RECONNECT = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 50),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
]
"""Options of a channel whose server dies and comes back."""

UNARY_UNARY, UNARY_STREAM, STREAM_UNARY, STREAM_STREAM = "Get", "List", "Put", "Chat"
KINDS = (UNARY_UNARY, UNARY_STREAM, STREAM_UNARY, STREAM_STREAM)
STREAMS = (UNARY_STREAM, STREAM_STREAM)
"""The kinds of calls that answer with a stream."""


@dataclass(frozen=True)
class Abort:
    """Step: end the call with this status."""

    code: grpc.StatusCode
    details: str = "as told"
    trailing: tuple[tuple[str, str | bytes], ...] = ()


class Crash:
    """Step: raise in the handler."""


class Hang:
    """Step: say nothing more until the caller is gone or the server ends."""


Step: TypeAlias = bytes | Abort | Crash | Hang | Callable[[], object]


@dataclass
class RpcServer:
    """Answers each call with the next of `replies`, and when there is none left with `otherwise`.

    A stream sends every message of the reply, and a single response is the last one.
    """

    replies: list[Sequence[Step]] = field(default_factory=list)
    otherwise: Sequence[Step] = (b"fine",)
    calls: list[str] = field(default_factory=list)
    port: int = 0
    kinds: ClassVar[dict[str, tuple[bool, bool]]] = {
        UNARY_UNARY: (False, False),
        UNARY_STREAM: (False, True),
        STREAM_UNARY: (True, False),
        STREAM_STREAM: (True, True),
    }

    def __enter__(self) -> Self:
        self._ended = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        self.port = self._server.add_insecure_port(f"{HOST}:{self.port}")
        self.target = f"{HOST}:{self.port}"
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End at once; calls in flight are broken off."""
        self._ended.set()
        self._server.stop(None).wait(10)

    def handler(self, method: str) -> Any:
        """What serves a method, or None."""
        kind = self.kinds.get(method.rpartition("/")[2])
        if kind is None:
            return None
        many_requests, many_responses = kind
        name = f"{'stream' if many_requests else 'unary'}_{'stream' if many_responses else 'unary'}"

        def serve(requests: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append(method)
            reply = self.replies.pop(0) if self.replies else self.otherwise
            if many_requests:
                list(requests)
            responses = self._messages(reply, context)
            return responses if many_responses else [b"", *responses][-1]

        return getattr(grpc, f"{name}_rpc_method_handler")(serve)

    def _messages(self, reply: Sequence[Step], context: grpc.ServicerContext) -> Iterator[bytes]:
        for step in reply:
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, Abort):
                context.set_trailing_metadata(step.trailing)
                context.abort(step.code, step.details)
            elif isinstance(step, Crash):
                raise RuntimeError("crashed as told")
            elif isinstance(step, Hang):
                gone = threading.Event()
                if context.add_callback(gone.set):
                    while not (gone.wait(0.02) or self._ended.is_set()):
                        pass
                return
            else:
                step()


@dataclass
class _Handlers(grpc.GenericRpcHandler):
    server: RpcServer

    def service(self, handler_call_details: Any) -> Any:
        return self.server.handler(handler_call_details.method)


def main() -> None:
    """Serve on the given port until killed."""
    with RpcServer(port=int(sys.argv[1])):
        threading.Event().wait()


PROGRAM = Path(__file__)

if __name__ == "__main__":
    main()
