"""What the runner and this process say to each other: one JSON object a line, nothing else on either pipe.

The runner's side of the same schema is `sidecar-message.ts`. A line that does not fit ends the process: whoever sent it is
no runner of ours, and a half-understood order is worse than none.

Orders (stdin): `load`, `run`, `stop`, `ping`, `unload`, `exit`. Events (stdout): `hello`, `pong`, `loaded`, `unloaded`,
`stage`, `step`, `checkpoint`, `unsaved`, `frames`, `stopped`, `failed`. Each event carries `seq`, counting up from 0; those
of a run carry the number that the order had.

`load` puts a model on the device, whatever was there before; `unload` lets go of all weights, those put aside as well. `loaded` says
where the weights were, `from` the `disk`, main `memory` (`shelf.py`) or already on the `device`, and the `seconds` that this order
took, known answer and all.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO, TypeVar

LINE_BYTES_MAX = 1024 * 1024
DETAIL_CHARS_MAX = 2_000
STOP_REASONS = ("preempt", "cancel", "drain")

Value = TypeVar("Value")


class WireError(Exception):
    """A line that is none of the orders."""


@dataclass(frozen=True)
class Model:
    """An entry of the operator's model file (`model-file.ts`), with its name."""

    name: str
    pipeline: str
    path: str | None
    repo: str | None
    revision: str | None
    dtype: Mapping[str, str]
    scheduler: Mapping[str, Any] | None
    arguments: Mapping[str, Any]
    offload: str
    known_answer: bool


@dataclass(frozen=True)
class Picture:
    """What to render: every field of it decides the latents, or the cut of the frames."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    fps: int
    frames: int
    steps: int
    seed: int


@dataclass(frozen=True)
class Knobs:
    """Faults on purpose, in development and tests; a production runner sends none."""

    crash_at: int | None = None
    hang_at: int | None = None
    nan_at: int | None = None
    oom_at: int | None = None
    oom_decode: bool = False
    idle_ms: int = 0


@dataclass(frozen=True)
class Saving:
    """When a checkpoint is due: after this long, or so many times what the last one cost, whichever is more."""

    interval_ms: int
    cost_multiple: int


@dataclass(frozen=True)
class Checkpoint:
    """A file to go on from, and the job whose attempt wrote it: this one, or the draft that it is the rest of."""

    path: str
    written_for: str


@dataclass(frozen=True)
class Load:
    run: int
    model: Model


@dataclass(frozen=True)
class Run:
    run: int
    job: str
    epoch: int
    dir: str
    checkpoint: Checkpoint | None
    stop_after: int | None
    """Of a draft: it ends after so many of its steps."""
    picture: Picture
    saving: Saving
    knobs: Knobs = field(default_factory=Knobs)


@dataclass(frozen=True)
class Stop:
    run: int
    why: str


@dataclass(frozen=True)
class Ping:
    n: int


@dataclass(frozen=True)
class Unload:
    run: int


@dataclass(frozen=True)
class Exit:
    pass


Order = Load | Run | Stop | Ping | Unload | Exit


def parse_order(line: str) -> Order:
    try:
        message = json.loads(line)
    except ValueError as fault:
        raise WireError(f"not JSON: {line[:80]!r}") from fault
    if not isinstance(message, dict):
        raise WireError("not an object")
    kind = message.get("t")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise WireError(f"no such order: {kind!r}")
    return reader(message)


class Speaker:
    """Writes events, whole lines only, from whichever thread has something to say."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._seq = 0

    def say(self, kind: str, **fields: Any) -> None:
        with self._lock:
            line = json.dumps({"t": kind, "seq": self._seq, **fields}, ensure_ascii=False, allow_nan=False)
            self._seq += 1
            self._out.write(line + "\n")
            self._out.flush()


def _take(message: Mapping[str, Any], name: str, kind: type[Value]) -> Value:
    value = message.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise WireError(f"'{name}' must be {kind.__name__}, not {value!r}")
    return value


def _maybe(message: Mapping[str, Any], name: str, kind: type[Value]) -> Value | None:
    return None if message.get(name) is None else _take(message, name, kind)


def _model(message: Mapping[str, Any]) -> Model:
    return Model(
        name=_take(message, "name", str),
        pipeline=_take(message, "pipeline", str),
        path=_maybe(message, "path", str),
        repo=_maybe(message, "repo", str),
        revision=_maybe(message, "revision", str),
        dtype=_take(message, "dtype", dict),
        scheduler=_maybe(message, "scheduler", dict),
        arguments=_take(message, "arguments", dict),
        offload=_take(message, "offload", str),
        known_answer=_take(message, "known_answer", bool),
    )


def _picture(message: Mapping[str, Any]) -> Picture:
    numbers = {name: _take(message, name, int) for name in ("width", "height", "fps", "frames", "steps", "seed")}
    return Picture(
        prompt=_take(message, "prompt", str), negative_prompt=_take(message, "negative_prompt", str), **numbers
    )


def _checkpoint(message: Mapping[str, Any] | None) -> Checkpoint | None:
    if message is None:
        return None
    return Checkpoint(_take(message, "path", str), _take(message, "written_for", str))


def _knobs(message: Mapping[str, Any] | None) -> Knobs:
    if message is None:
        return Knobs()
    return Knobs(
        crash_at=_maybe(message, "crash_at", int),
        hang_at=_maybe(message, "hang_at", int),
        nan_at=_maybe(message, "nan_at", int),
        oom_at=_maybe(message, "oom_at", int),
        oom_decode=_take(message, "oom_decode", bool),
        idle_ms=_take(message, "idle_ms", int),
    )


def _load(message: Mapping[str, Any]) -> Load:
    return Load(_take(message, "run", int), _model(_take(message, "model", dict)))


def _run(message: Mapping[str, Any]) -> Run:
    saving = _take(message, "saving", dict)
    return Run(
        run=_take(message, "run", int),
        job=_take(message, "job", str),
        epoch=_take(message, "epoch", int),
        dir=_take(message, "dir", str),
        checkpoint=_checkpoint(_maybe(message, "checkpoint", dict)),
        stop_after=_maybe(message, "stop_after", int),
        picture=_picture(_take(message, "picture", dict)),
        saving=Saving(_take(saving, "interval_ms", int), _take(saving, "cost_multiple", int)),
        knobs=_knobs(_maybe(message, "knobs", dict)),
    )


def _stop(message: Mapping[str, Any]) -> Stop:
    why = _take(message, "why", str)
    if why not in STOP_REASONS:
        raise WireError(f"no such reason to stop: {why!r}")
    return Stop(_take(message, "run", int), why)


_READERS: dict[str, Callable[[Mapping[str, Any]], Order]] = {
    "load": _load,
    "run": _run,
    "stop": _stop,
    "ping": lambda message: Ping(_take(message, "n", int)),
    "unload": lambda message: Unload(_take(message, "run", int)),
    "exit": lambda message: Exit(),
}
