"""A real sidecar, spoken to as the runner does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parents[3] / "gpu-runner" / "engines" / "diffusers" / "start.py"
ENDINGS = ("frames", "stopped", "failed")

Message = dict[str, Any]


class Sidecar:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-B", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if os.environ.get("SIDECAR_LOG") is None else None,
            text=True,
            # So little to compute that a second thread only waits.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._runs = 0
        self.hello = self.hear()

    def say(self, message: Message) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Message:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line == "":
            raise EOFError("the sidecar is gone")
        heard: Message = json.loads(line)
        return heard

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
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        code = self._process.wait(timeout=30)
        self._process.stdout.close()
        return code


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
