"""The process that sends, as seen from the process that measures."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from types import TracebackType
from typing import Self

from benchmarks.rounds import ROOT
from benchmarks.service.load import Job, Measured


class Sender:
    """Does one job after another. Use it as a context manager."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.service.load"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, job: Job) -> Measured:
        """Return what came of a job, when it is done.

        Raises:
            RuntimeError: It failed, or the process is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(job)), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the sender ended with {self._process.wait()}")
        answer = json.loads(line)
        if "failure" in answer:
            raise RuntimeError(f"{job.shape.name}: {answer['failure']}")
        return Measured(**answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.terminate()
        self._process.wait(timeout=15)
