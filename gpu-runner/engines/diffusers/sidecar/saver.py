"""When a render saves its state. Writing happens beside the next step; at most one file is written at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from .checkpoint import Origin, copied, save
from .faults import is_storage_full
from .walk import Snapshot
from .wire import Saving


class Saver:
    def __init__(self, folder: Path, origin: Origin, saving: Saving, exactness: str, say: Callable[..., None]) -> None:
        self._folder = folder
        self._origin = origin
        self._saving = saving
        self._exactness = exactness
        self._say = say
        self._pool = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._tried_at = time.perf_counter()
        self._cost_ms = 0.0
        self.saved_step = 0
        """The newest step that is kept: what a resume starts from."""

    def is_due(self) -> bool:
        # With no interval every step is kept, and waits for the one before it.
        if self._saving.interval_ms > 0 and self._writing is not None and not self._writing.done():
            return False
        self.settle()
        interval_ms = max(self._saving.interval_ms, self._cost_ms * self._saving.cost_multiple)
        return (time.perf_counter() - self._tried_at) * 1_000 >= interval_ms

    def begin(self, snapshot: Snapshot) -> None:
        """The copy is made now, so the caller may go on to the next step."""
        self.settle()
        if snapshot.step == self.saved_step:
            return
        self._writing = self._pool.submit(self._write, copied(snapshot))

    def settle(self) -> None:
        """Waits for what is being written; raises what went wrong with it."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    def _write(self, snapshot: Snapshot) -> None:
        path = self._folder / f"checkpoint-{snapshot.step}.safetensors"
        began = time.perf_counter()
        try:
            written = save(path, self._origin, snapshot, self._exactness)
            self.saved_step = snapshot.step
            self._say(
                "checkpoint",
                step=snapshot.step,
                path=str(path),
                sha256=written.sha256,
                bytes=written.bytes,
                exactness=self._exactness,
            )
        except OSError as fault:
            if not is_storage_full(fault):
                raise
            # The rendering needs no disk to go on; the video may fit when it is done.
            self._say("unsaved", step=snapshot.step, detail=str(fault))
        finally:
            # Also after a save that did not work: the disk is tried again at the next interval, not at every step.
            self._tried_at = time.perf_counter()
            self._cost_ms = (self._tried_at - began) * 1_000
