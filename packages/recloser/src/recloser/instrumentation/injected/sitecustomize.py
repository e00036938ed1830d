"""Found by every Python that a program under `recloser run` starts, when it starts, and run before the program.

It does nothing until the program imports a client that recloser knows. It runs in every Python 3, with or without
recloser: it needs the standard library only.
"""

import json
import os
import signal
import sys
from typing import Any


class _Trigger:
    """Starts instrumentation when one of these modules is looked for, and then lets it find the module."""

    def __init__(self, run: Any) -> None:
        self.clients = frozenset(run["clients"])
        self.run = run
        self.started = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.clients:
            return None
        if not self.started:
            self.started = True
            sys.meta_path.remove(self)
            self.start()
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                return spec
        return None

    def start(self) -> None:
        try:
            from recloser.instrumentation.startup import begin
        except ImportError as error:
            if self.run["pid"] == os.getpid():  # this is the command itself, not some other Python that it has started
                sys.stderr.write(f"recloser: not protected: {sys.executable}: {error}\n")
            return
        begin()


def _start() -> None:
    text = os.environ.get("RECLOSER_RUN")
    if text:
        run = json.loads(text)
        sys.meta_path.insert(0, _Trigger(run))
        if run["report"] and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: Any) -> None:
    """Let the report be written, then end as it would have ended. A handler of the program's own replaces this one."""
    services = sys.modules.get("recloser.instrumentation.services")
    try:
        if services is not None:
            services.end_all()
    finally:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _chain() -> None:
    """Run the sitecustomize that would have been found without this one."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != here]
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    try:
        _chain()
    finally:
        try:
            _start()
        except Exception as error:  # noqa: BLE001 - the program must run
            sys.stderr.write(f"recloser: not protected: {error!r}\n")
