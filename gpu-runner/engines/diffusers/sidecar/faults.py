"""What went wrong, in the runner's words (`RunError`: class, code, detail), and the faults that tests ask for."""

from __future__ import annotations

import errno
import os
import signal
import time

import torch

from .checkpoint import CheckpointError
from .family import UnknownPipeline
from .loading import ModelError
from .machine import is_out_of_memory
from .memory import UnsavableScheduler
from .walk import NotFinite, OtherStepCount
from .wire import DETAIL_CHARS_MAX, Knobs

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_HANG_S = 3_600


def is_storage_full(fault: BaseException) -> bool:
    return isinstance(fault, OSError) and fault.errno in _FULL


def error_of(fault: BaseException, stage: str) -> dict[str, str]:
    kind, code = _class_of(fault, stage)
    detail = str(fault) if isinstance(fault, CheckpointError) else f"{type(fault).__name__}: {fault}"
    return {"class": kind, "code": code, "detail": detail[:DETAIL_CHARS_MAX]}


def _class_of(fault: BaseException, stage: str) -> tuple[str, str]:
    if isinstance(fault, CheckpointError):
        return "retryable", "bad_checkpoint"
    if is_out_of_memory(fault):
        return "capacity", f"oom_{stage}"
    if is_storage_full(fault):
        return "host_fatal", "storage_full"
    if isinstance(fault, NotFinite):
        return "engine_fatal", "nan_latents"
    if isinstance(fault, (ModelError, UnknownPipeline, OtherStepCount, UnsavableScheduler)):
        return "host_fatal", "model_unusable"
    return "engine_fatal", "render_failed"


class Provocations:
    """Turns the knobs of a job at their steps."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs

    def before_step(self, step: int) -> None:
        knobs = self._knobs
        if step == knobs.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == knobs.hang_at:
            time.sleep(_HANG_S)
        if step == knobs.oom_at:
            raise torch.OutOfMemoryError("the fault knob asked for more memory than there is")
        if knobs.idle_ms > 0:
            time.sleep(knobs.idle_ms / 1_000)

    def spoil(self, step: int, latents: torch.Tensor) -> None:
        if step == self._knobs.nan_at:
            latents.fill_(float("nan"))

    def before_decode(self, tiled: bool) -> None:
        if self._knobs.oom_decode and not tiled:
            raise torch.OutOfMemoryError("the fault knob asked for more memory than a decode in one piece has")
