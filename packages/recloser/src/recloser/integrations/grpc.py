"""Circuit breakers for gRPC: `protect(channel, target)`, and `aio_interceptors(target)` for `grpc.aio`.

Needs `recloser[grpc]`.
"""

from recloser.integrations._grpc import CircuitOpenRpcError, Rpc
from recloser.integrations._grpc_aio import CircuitOpenAioRpcError, aio_interceptors
from recloser.integrations._grpc_sync import BreakerInterceptor, protect

__all__ = [
    "BreakerInterceptor",
    "CircuitOpenAioRpcError",
    "CircuitOpenRpcError",
    "Rpc",
    "aio_interceptors",
    "protect",
]
