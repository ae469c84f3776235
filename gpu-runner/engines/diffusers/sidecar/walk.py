"""One pass through a pipeline's own denoising loop, which may begin in the middle and may be left at any step.

No loop is forked. The loops of diffusers ask `self.interrupt` at the top of each step and go on to the next one if it
answers True, and call `scheduler.step` once a step. So: the first `start` polls answer True, which costs nothing; at poll
`start` the scheduler is made what it was; after each step the wrapped `scheduler.step` sees the new latents; and once
somebody asks to stop, the remaining polls answer True. What a loop gets before it begins (prompt embeddings, latents) comes
through `resumable.py`.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from .expected import expected_after
from .memory import Memory, baseline_of, memory_of, restore

Embeddings = tuple[torch.Tensor | None, ...]

CARRIED = "old_pred_original_sample"
"""An argument of CogVideoXDPMScheduler.step that is its own last result, kept in a local variable of the loop."""


class NotFinite(Exception):
    """A sampler that went wrong makes NaN or Infinity, and every later step spreads it."""


class OtherStepCount(Exception):
    """The scheduler makes more or fewer steps than were asked for; our step numbers would not be its own."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that the rest of a denoise depends on, beside the model and the job."""

    step: int
    latents: torch.Tensor
    rng: torch.Tensor
    scheduler: Memory
    carried: torch.Tensor | None
    prompts: tuple[Embeddings, ...]
    """What each call of `encode_prompt` answered, in their order."""
    expected: torch.Tensor | None = None
    """Where a draft ends: how the model expects the finished latents."""


class Watcher(Protocol):
    """Who is told of the steps, and may end the walk."""

    def before_step(self, step: int) -> None: ...
    def spoil(self, step: int, latents: torch.Tensor) -> None: ...
    def after_step(self, walk: Walk, ms: float) -> None: ...
    def stop_asked(self) -> bool: ...


@dataclass
class Walk:
    """Belongs to one call of a pipeline. `start` equal to `steps` only decodes; a draft ends after `until` of them."""

    scheduler: Any
    generator: torch.Generator
    steps: int
    until: int
    device: torch.device
    watcher: Watcher
    saved: Snapshot | None = None
    start: int = 0
    done: int = 0
    latents: torch.Tensor | None = None
    expected: torch.Tensor | None = None
    prompts: list[Embeddings] = field(default_factory=list)
    _poll: int = 0
    _prompt_calls: int = 0
    _baseline: Memory = field(default_factory=dict)
    _carried: torch.Tensor | None = None
    _began: float = 0.0

    def __post_init__(self) -> None:
        if self.saved is None:
            return
        self.start = self.done = self.saved.step
        self.latents = self.saved.latents.to(self.device)
        self.prompts = list(self.saved.prompts)

    def snapshot(self) -> Snapshot:
        """Refers to the live tensors: to be copied before the next step."""
        assert self.latents is not None
        memory = memory_of(self.scheduler, self._baseline)
        return Snapshot(
            self.done, self.latents, self.generator.get_state(), memory, self._carried, tuple(self.prompts), self.expected
        )

    # What the pipeline asks, in its order.

    def encoded(self, encode: Callable[[], Embeddings]) -> Embeddings:
        """The first walk asks the text encoder; a later one remembers, and needs none."""
        call = self._prompt_calls
        self._prompt_calls += 1
        if call == len(self.prompts):
            self.prompts.append(encode())
            return self.prompts[call]
        return tuple(None if one is None else one.to(self.device) for one in self.prompts[call])

    def prepared(self, prepare: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Not through `latents=`: pipelines cast what they are given there, and the loop's own may be of another type."""
        if self.latents is None:
            return prepare()
        return self.latents

    def skips(self) -> bool:
        poll = self._poll
        self._poll += 1
        if poll == 0:
            self._begin()
        if poll < self.start or poll >= self.until:
            return True
        if poll == self.start and self.saved is not None:
            restore(self.scheduler, self.saved.scheduler, self.device)
            self._carried = None if self.saved.carried is None else self.saved.carried.to(self.device)
        if self.watcher.stop_asked():
            return True
        self._began = time.perf_counter()
        self.watcher.before_step(poll + 1)
        return False

    def _begin(self) -> None:
        found = len(self.scheduler.timesteps)
        if found != self.steps:
            raise OtherStepCount(f"{type(self.scheduler).__name__} makes {found} steps of {self.steps}")
        self._baseline = baseline_of(self.scheduler)
        # Also where all steps are skipped: some decoders draw noise.
        if self.saved is not None:
            self.generator.set_state(self.saved.rng)

    # What the pipeline does.

    def wrap(self, step: Callable[..., Any], casts_latents: bool) -> Callable[..., Any]:
        """`wraps` matters: pipelines read the signature to decide whether to pass the generator at all."""
        signature = inspect.signature(step)
        carries = CARRIED in signature.parameters

        @functools.wraps(step)
        def stepped(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            if carries:
                bound.arguments[CARRIED] = self._carried
            result = step(*bound.args, **bound.kwargs)
            latents = result[0]
            self.watcher.spoil(self.done + 1, latents)
            if not bool(torch.isfinite(latents).all()):
                raise NotFinite(f"the latents after step {self.done + 1} are not all finite")
            self._carried = result[1] if carries else None
            # What the loop holds when the next step begins.
            self.latents = latents.to(bound.arguments["sample"].dtype) if casts_latents else latents
            self.done += 1
            if self.done == self.until < self.steps:
                self.expected = self._shown(expected_after(self.scheduler, bound.arguments, result))
            self.watcher.after_step(self, (time.perf_counter() - self._began) * 1_000)
            return result

        return stepped

    def _shown(self, expected: torch.Tensor | None) -> torch.Tensor | None:
        return None if expected is None or self.latents is None else expected.to(self.latents.dtype)
