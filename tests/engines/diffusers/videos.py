"""A small video of a tiny model: how it is ordered from a sidecar, and what two of them are compared by."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from sidecar_process import Message, Sidecar

STEPS = 6
JOB = "video_" + "a" * 32
OTHER_JOB = "video_" + "b" * 32
PICTURE: Message = {
    "prompt": "a red fox in the snow",
    "negative_prompt": "blurry",
    "width": 32,
    "height": 32,
    "fps": 8,
    "frames": 9,
    "steps": STEPS,
    "seed": 7,
}


def render(
    sidecar: Sidecar,
    folder: Path,
    checkpoint: Path | None = None,
    *,
    nan_at: int | None = None,
    oom_at: int | None = None,
    job: str = JOB,
    stop_after: int | None = None,
    **change: Any,
) -> list[Message]:
    """By the model that is loaded, into a folder within `folder`; every step is saved. `job` goes on from a checkpoint of `JOB`."""
    return sidecar.run(
        {
            "job": job,
            "epoch": 1 if checkpoint is None else 2,
            "dir": tempfile.mkdtemp(dir=folder),
            "checkpoint": None if checkpoint is None else {"path": str(checkpoint), "written_for": JOB},
            "stop_after": stop_after,
            "picture": {**PICTURE, **change},
            "saving": {"interval_ms": 0, "cost_multiple": 0},
            "knobs": {"idle_ms": 0, "oom_decode": False, "nan_at": nan_at, "oom_at": oom_at},
        }
    )


def result(events: list[Message]) -> tuple[str, str]:
    frames = Path(events[-1]["path"]).read_bytes()
    assert len(frames) == 9 * 32 * 32 * 3
    assert len(set(frames)) > 16, "a picture, and not one colour"
    return events[-1]["latents_sha256"], hashlib.sha256(frames).hexdigest()
