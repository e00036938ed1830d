"""An application on a real port, served by uvicorn in a thread of this process: quick to start, real HTTP."""

import threading
from types import TracebackType
from typing import Self

import httpx2
from fastapi import FastAPI

from incident_manager.server import Server, address_of, listen


class LiveApp:
    """A running application. Use it as a context manager, or `start` and `stop` it."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.url = ""
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def client(self) -> httpx2.Client:
        """A client of the API; close it after use."""
        return httpx2.Client(base_url=self.url, timeout=30)

    def start(self) -> Self:
        """Serve on a free port; returns when it listens. Raises RuntimeError when it does not start."""
        self._server = server = Server(self.app)
        bound = listen("127.0.0.1", 0)
        self.url = address_of(bound)

        def serve() -> None:
            try:
                server.run(sockets=[bound])
            except SystemExit:  # uvicorn's way of saying that the application did not start
                bound.close()

        self._thread = threading.Thread(target=serve, name="live application")
        self._thread.start()
        while not server.started:
            self._thread.join(timeout=0.01)
            if not self._thread.is_alive():
                raise RuntimeError("the application did not start; see the captured log")
        return self

    def stop(self) -> None:
        """End it as SIGTERM does."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=60)
            assert not self._thread.is_alive(), "the application did not end within 60 s"
            self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
