"""Found by every Python that a program under `recloser run` starts, when it starts, and run before the program.

It does nothing until the program imports a client that recloser knows. It runs in Pythons without recloser, too, and
in old ones: it needs the standard library only, and says nothing that the program has not asked for.
"""

import json
import os
import sys


class _Trigger(object):  # noqa: UP004 - for whichever Python a program may start
    """Starts instrumentation when one of these modules is looked for, and then lets it find the module."""

    def __init__(self, run):
        self.clients = frozenset(run["clients"])
        self.run = run
        self.started = False

    def find_spec(self, name, path=None, target=None):
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

    def start(self):
        try:
            from recloser.instrumentation.startup import begin
        except ImportError as error:
            if self.run["pid"] == os.getpid():  # this is the command itself, not some other Python that it has started
                sys.stderr.write(f"recloser: not protected: {sys.executable}: {error}\n")
            return
        begin()


def _start():
    text = os.environ.get("RECLOSER_RUN")
    if text:
        sys.meta_path.insert(0, _Trigger(json.loads(text)))


def _chain():
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
