"""redis-py and valkey-py: the commands, pipelines and subscriptions of clients, sync and async, but for clusters."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from recloser.errors import CircuitOpenError
from recloser.instrumentation import naming
from recloser.instrumentation.dependencies import Dependencies
from recloser.instrumentation.patches import Patches
from recloser.integrations import _redis
from recloser.integrations._data import Guard
from recloser.integrations._http import reasons_of


def patch_redis(patches: Patches, dependencies: Dependencies) -> None:
    """Patch redis-py."""
    import redis
    from redis import asyncio, client

    clients = (
        (redis.Redis, client.Pipeline, client.PubSub),
        (asyncio.Redis, asyncio.client.Pipeline, asyncio.client.PubSub),
    )
    _patch("redis", redis, clients, patches, dependencies)


def patch_valkey(patches: Patches, dependencies: Dependencies) -> None:
    """Patch valkey-py."""
    import valkey
    from valkey import asyncio, client

    clients = (
        (valkey.Valkey, client.Pipeline, client.PubSub),
        (asyncio.Valkey, asyncio.client.Pipeline, asyncio.client.PubSub),
    )
    _patch("valkey", valkey, clients, patches, dependencies)


def _patch(
    kind: str,
    module: ModuleType,
    clients: tuple[tuple[Any, Any, Any], ...],
    patches: Patches,
    dependencies: Dependencies,
) -> None:
    judge = _redis.judge_with(module.exceptions)
    rejection_type: Any = type(
        "CircuitOpenConnectionError", (CircuitOpenError, module.exceptions.ConnectionError), {"__module__": __name__}
    )

    def rejection(error: CircuitOpenError) -> Exception:
        made: Exception = rejection_type(*reasons_of(error))
        return made

    def find(args: tuple[Any, ...]) -> Guard | None:
        client = args[0]
        if _redis.is_protected(client) or _redis.is_executing(client) or "cluster" in vars(client):
            return None
        return dependencies.guard(kind, key_of(kind, client.connection_pool.connection_kwargs), judge, rejection)

    for client, pipeline, pubsub in clients:
        patches.replace(client, "execute_command", _redis.guarded_command(client.execute_command, find))
        patches.replace(pipeline, "execute", _redis.guarded_execute(pipeline.execute, find, judge))
        immediate = _redis.guarded_command(pipeline.immediate_execute_command, find)
        patches.replace(pipeline, "immediate_execute_command", immediate)
        patches.replace(pubsub, "execute_command", _redis.guarded_subscribing(pubsub.execute_command, find))
        patches.replace(pubsub, "parse_response", _redis.guarded_listening(pubsub.parse_response, find))


def key_of(kind: str, options: dict[str, Any]) -> str:
    """The key of a server, from the options of a pool of connections: whichever database in it is used."""
    if "service_name" in options:
        return f"sentinel/{options['service_name']}"
    if options.get("path"):
        return str(options["path"])
    return naming.server(kind, options.get("host"), options.get("port"))
