"""gRPC: each channel that is made from now on, sync or async, gets an interceptor, the last."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from recloser.instrumentation.dependencies import Dependencies
from recloser.instrumentation.patches import Patches
from recloser.integrations._grpc import Policy, Rpc, has_asked, target_and_service
from recloser.integrations._grpc_aio import interceptors_of
from recloser.integrations._grpc_sync import PolicyInterceptor

KIND = "grpc"


def patch(patches: Patches, dependencies: Dependencies) -> None:
    """Patch gRPC. A channel made before, and what a module has taken for itself before, stay as they are."""

    def wants(rpc: Rpc) -> bool:
        return not has_asked(rpc) and dependencies.wants(KIND, target_and_service(rpc))

    def policy_of(target: str) -> Policy:
        return Policy(target, wants=wants, **dependencies.options(KIND, target_and_service))

    for name in ("insecure_channel", "secure_channel"):
        patches.replace(grpc, name, _making(getattr(grpc, name), policy_of))
        patches.replace(grpc.aio, name, _making_async(getattr(grpc.aio, name), policy_of))


def _making(original: Callable[..., Any], policy_of: Callable[[str], Policy]) -> Callable[..., Any]:
    @functools.wraps(original)
    def channel(target: str, *args: Any, **kwargs: Any) -> Any:
        return grpc.intercept_channel(original(target, *args, **kwargs), PolicyInterceptor(policy_of(target)))

    return channel


def _making_async(original: Callable[..., Any], policy_of: Callable[[str], Policy]) -> Callable[..., Any]:
    parameters = inspect.signature(original)

    @functools.wraps(original)
    def channel(*args: Any, **kwargs: Any) -> Any:
        given = parameters.bind(*args, **kwargs)
        interceptors: Sequence[Any] = given.arguments.get("interceptors") or ()
        given.arguments["interceptors"] = [*interceptors, *interceptors_of(policy_of(given.arguments["target"]))]
        return original(*given.args, **given.kwargs)

    return channel
