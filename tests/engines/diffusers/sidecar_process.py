"""A real sidecar, spoken to as the runner does: `start.py` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO

import torch

PROGRAM = Path(__file__).parents[3] / "gpu-runner" / "engines" / "diffusers" / "start.py"
ENDINGS = ("frames", "stopped", "failed")
FILES_MAX = 1_024

Message = dict[str, Any]


class Sidecar:
    """Started as the runner does it."""

    def __init__(self, shelf_bytes: int = 0) -> None:
        asked = ["--shelf-bytes", str(shelf_bytes)]
        self._orders, self._events = self._started(asked)
        self._runs = 0

    def _started(self, asked: list[str]) -> tuple[TextIO, TextIO]:
        self._process = subprocess.Popen(
            [sys.executable, "-B", str(PROGRAM), *asked],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if is_logged() else subprocess.DEVNULL,
            text=True,
            # So little to compute that a second thread only waits.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def _ended(self) -> int:
        return self._process.wait(timeout=30)

    def say(self, message: Message) -> None:
        self._orders.write(json.dumps(message) + "\n")
        self._orders.flush()

    def hear(self) -> Message:
        line = self._events.readline()
        if line == "":
            raise EOFError("the sidecar is gone")
        heard: Message = json.loads(line)
        # Nobody waits for its greeting: while it starts, the models are made.
        return self.hear() if heard["t"] == "hello" else heard

    def load(self, model: Message) -> Message:
        self._runs += 1
        self.say({"t": "load", "run": self._runs, "model": model})
        return self.hear()

    def run(self, job: Message) -> list[Message]:
        """Every event of the job; the last one says how it ended."""
        self._runs += 1
        self.say({"t": "run", "run": self._runs, **job})
        heard = [self.hear()]
        while heard[-1]["t"] not in ENDINGS:
            heard.append(self.hear())
        return heard

    def close(self) -> int:
        self._orders.close()
        code = self._ended()
        self._events.close()
        return code


class ForkedSidecar(Sidecar):
    """The same program in a copy of this process, which has imported what takes seconds to import."""

    def _started(self, asked: list[str]) -> tuple[TextIO, TextIO]:
        orders, order = os.pipe()
        event, events = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            become_sidecar(orders, events, asked)
        os.close(orders)
        os.close(events)
        return os.fdopen(order, "w"), os.fdopen(event)

    def _ended(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def become_sidecar(orders: int, events: int, asked: list[str]) -> None:
    try:
        os.dup2(orders, 0)
        os.dup2(events, 1)
        if not is_logged():
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        # Pipes of other sidecars: held open here, they would never be seen to close.
        os.closerange(3, FILES_MAX)
        # As `OMP_NUM_THREADS` says to one that is started.
        torch.set_num_threads(1)
        sys.path.insert(0, str(PROGRAM.parent))
        sys.stdin = open(0, encoding="utf-8", closefd=False)
        sys.argv = [str(PROGRAM), *asked]
        from start import main

        main()
    finally:
        # Never back into the tests.
        os._exit(1)


def is_logged() -> bool:
    return os.environ.get("SIDECAR_LOG") is not None


def entry(models: Path, name: str) -> Message:
    """As the runner sends it: every field there."""
    found = json.loads((models / "models.json").read_text())[name]
    dtype = found["dtype"]
    return {
        "name": name,
        "repo": None,
        "revision": None,
        "scheduler": None,
        "offload": "none",
        "known_answer": True,
        **found,
        "dtype": {"default": dtype} if isinstance(dtype, str) else dtype,
    }
