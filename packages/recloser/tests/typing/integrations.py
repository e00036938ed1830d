"""The integrations as users write them down. Never run: it must type-check."""

from typing import Any, Unpack, assert_type

import fastapi
import flask
import grpc
import httpx
import litestar
import openai
import psycopg
import redis
import redis.asyncio
import stamina
import tenacity
import valkey
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from recloser import CircuitBreaker, CircuitOpenError, Registry
from recloser.integrations import asgi, sqlalchemy, wsgi
from recloser.integrations import grpc as grpc_integration
from recloser.integrations import httpx as httpx_integration
from recloser.integrations import openai as openai_integration
from recloser.integrations import psycopg as psycopg_integration
from recloser.integrations import redis as redis_integration
from recloser.integrations import valkey as valkey_integration
from recloser.integrations.options import LlmOptions, Options
from recloser.integrations.stamina import unless_open
from recloser.integrations.starlette import circuit_open_handler
from recloser.integrations.tenacity import retry_unless_open, wait_retry_after
from recloser.telemetry.logging import log_events
from recloser.telemetry.multiprocess import Workers
from recloser.telemetry.prometheus import BreakerCollector

breaker = CircuitBreaker("db")


def incoming() -> None:
    for app in (Starlette(), fastapi.FastAPI()):
        app.add_middleware(asgi.CircuitBreakerMiddleware, registry=Registry(), key=lambda scope: str(scope["path"]))
        app.add_exception_handler(CircuitOpenError, circuit_open_handler)
    litestar.Litestar([], middleware=[asgi.CircuitBreakerMiddleware])
    shop = flask.Flask("shop")
    shop.register_error_handler(CircuitOpenError, wsgi.circuit_open_response)
    wsgi.CircuitBreakerMiddleware(shop.wsgi_app, key=lambda environ: str(environ["PATH_INFO"]))


def data(engine: Engine, async_engine: AsyncEngine) -> None:
    assert_type(sqlalchemy.protect(engine, breaker), Engine)
    assert_type(sqlalchemy.protect(async_engine, breaker), AsyncEngine)
    redis_client: redis.Redis = redis_integration.protect(redis.Redis(), breaker)
    redis_async: redis.asyncio.Redis = redis_integration.protect(redis.asyncio.Redis(), breaker)
    valkey_client: valkey.Valkey = valkey_integration.protect(valkey.Valkey(), breaker)
    connection = psycopg_integration.protected(psycopg.Connection, breaker).connect()
    assert_type(connection, psycopg.Connection[Any])
    print(redis_client, redis_async, valkey_client)


def partner(**options: Unpack[Options[Any]]) -> httpx.Client:
    return httpx_integration.protect(httpx.Client(), **options)


def model(**options: Unpack[LlmOptions]) -> openai.OpenAI:
    return openai_integration.protect(openai.OpenAI(), **options)


def shop(target: str, **options: Unpack[Options[grpc_integration.Rpc]]) -> grpc.Channel:
    async_interceptors = grpc_integration.aio_interceptors(target, **options)
    print(grpc.aio.insecure_channel(target, interceptors=async_interceptors))
    return grpc_integration.protect(grpc.insecure_channel(target), target, patience=2, **options)


partner(name="partner", max_breakers=10)
partner(nam="partner")  # type: ignore[call-arg]
model(count_retries=False, breaker=breaker)
shop("shop:443", key=lambda rpc: rpc.service)


@stamina.retry(on=unless_open((OSError, KeyError), longest=5))
@breaker
def by_stamina(number: int) -> str:
    return str(number)


@tenacity.retry(retry=retry_unless_open() | tenacity.retry_if_result(bool), wait=wait_retry_after())
def by_tenacity(number: int) -> str:
    return str(number)


assert_type(by_stamina(1), str)
assert_type(by_tenacity(1), str)
log_events(breaker, rejections=True)
log_events(Registry())

BreakerCollector(Registry(), "myapp_", register=None, thresholds=False)
BreakerCollector(Workers(Registry(), "breakers", interval=2.0), register=None)
BreakerCollector({})  # type: ignore[arg-type]
