"""One job, from prompt or checkpoint to a file of frames.

Denoising and decoding are two calls of the same pipeline: the first with all of its steps and without its decoder, the second
with none of its steps. Between them the final latents are saved, so that a decode which does not fit costs no denoise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from .checkpoint import Identity, Loaded, Origin, copied, load, picture_key
from .container import hash_of
from .family import Shape, arguments_of, shape_of
from .faults import Provocations
from .frames import write_frames
from .loading import LoadedModel, release
from .machine import Machine, is_out_of_memory
from .resumable import walking
from .saver import Saver
from .walk import Snapshot, Walk
from .wire import Picture, Run

FRAMES_FILE = "frames.rgb"

Say = Callable[..., None]


@dataclass
class Stopper:
    """Set by the thread that hears the runner, looked at between steps."""

    asked: threading.Event = field(default_factory=threading.Event)
    why: str = ""

    def ask(self, why: str) -> None:
        # A cancel outranks everything: nothing of the job is kept then.
        if self.why != "cancel":
            self.why = why
        self.asked.set()


@dataclass
class Render:
    order: Run
    loaded: LoadedModel
    machine: Machine
    say: Say
    stopper: Stopper
    stage: str = "load"
    """Where it is, for whoever has to say what failed."""

    def run(self) -> None:
        order = self.order
        origin = self._origin()
        given = order.checkpoint
        start = None if given is None else load(Path(given.path), given.written_for, origin)
        exactness = "exact" if start is None else start.exactness
        saver = Saver(Path(order.dir), origin, order.saving, exactness, self.say)
        saver.saved_step = 0 if start is None else start.snapshot.step
        try:
            final = self._denoised(start, saver)
            if final is None:
                return
            shown = self._shown(final)
            video, tiled = self._decoded(shown)
        finally:
            saver.close()
        if self.stopper.asked.is_set():
            return self._leave(saver, final.step)
        path = Path(order.dir) / FRAMES_FILE
        write_frames(path, video, order.picture)
        self.say(
            "frames",
            path=str(path),
            latents_sha256=hash_of([shown.latents]),
            exactness=exactness,
            tiled=tiled,
        )

    def _origin(self) -> Origin:
        identity = Identity(self.loaded.weights, self.loaded.sampler, picture_key(self.order.picture))
        return Origin(
            self.order.job,
            self.order.epoch,
            self.order.picture.steps,
            identity,
            self.machine,
            self.loaded.model.name,
            self.loaded.sampler_name,
        )

    def _denoised(self, start: Loaded | None, saver: Saver) -> Snapshot | None:
        """None if it was stopped; then `stopped` has been said."""
        last = self._last()
        saved = None if start is None else start.snapshot
        if saved is not None and saved.step == last:
            return saved
        self._enter("encode")
        watcher = JobWatcher(self, saver)
        walk = walk_of(self.loaded, self.machine, self.order.picture, watcher, saved, last)
        call(self.loaded, self.order.picture, walk, output="latent")
        if walk.done < last:
            if self.stopper.why != "cancel" and walk.latents is not None and walk.done > 0:
                saver.begin(walk.snapshot())
            saver.settle()
            self._leave(saver, walk.done)
            return None
        final = copied(walk.snapshot())
        # Written before the decoding begins: that is where most jobs die.
        saver.begin(final)
        saver.settle()
        return final

    def _last(self) -> int:
        return self.order.stop_after or self.order.picture.steps

    def _shown(self, final: Snapshot) -> Snapshot:
        """Of a draft how it is expected to end; with a scheduler that does not tell, how far it came."""
        if final.step == self.order.picture.steps:
            return final
        latents = final.latents if final.expected is None else final.expected
        return replace(final, step=self.order.picture.steps, latents=latents)

    def _decoded(self, final: Snapshot) -> tuple[Any, bool]:
        """In one piece if that fits, else in tiles: a little different at the seams, and far better than nothing."""
        self._enter("decode")
        vae = self.loaded.pipe.vae
        for tiled in (False, True):
            try:
                if tiled:
                    vae.enable_tiling()
                Provocations(self.order.knobs).before_decode(tiled)
                watcher = QuietWatcher()
                walk = walk_of(self.loaded, self.machine, self.order.picture, watcher, final)
                return call(self.loaded, self.order.picture, walk, output="np").frames[0], tiled
            except Exception as fault:
                if tiled or not is_out_of_memory(fault):
                    raise
                release(self.machine)
            finally:
                if tiled:
                    vae.disable_tiling()
        raise AssertionError("the ladder ends with a return or a raise")

    def _leave(self, saver: Saver, done: int) -> None:
        self.say("stopped", step=done if self.stopper.why == "cancel" else saver.saved_step)

    def _enter(self, stage: str) -> None:
        self.stage = stage
        self.say("stage", stage=stage)

    def enter_denoise(self) -> None:
        if self.stage == "encode":
            self._enter("denoise")


class JobWatcher:
    """Reports, saves, stops."""

    def __init__(self, render: Render, saver: Saver) -> None:
        self._render = render
        self._saver = saver
        self._provocations = Provocations(render.order.knobs)

    def before_step(self, step: int) -> None:
        self._render.enter_denoise()
        self._provocations.before_step(step)

    def spoil(self, step: int, latents: torch.Tensor) -> None:
        self._provocations.spoil(step, latents)

    def after_step(self, walk: Walk, ms: float) -> None:
        self._render.say("step", stage="denoise", done=walk.done, of=walk.until, ms=ms)
        if walk.done < walk.until and self._saver.is_due():
            self._saver.begin(walk.snapshot())

    def stop_asked(self) -> bool:
        return self._render.stopper.asked.is_set()


class QuietWatcher:
    """For walks that nobody looks at."""

    def before_step(self, step: int) -> None:
        del step

    def spoil(self, step: int, latents: torch.Tensor) -> None:
        del step, latents

    def after_step(self, walk: Walk, ms: float) -> None:
        del walk, ms

    def stop_asked(self) -> bool:
        return False


def walk_of(
    loaded: LoadedModel,
    machine: Machine,
    picture: Picture,
    watcher: Any,
    saved: Snapshot | None,
    until: int | None = None,
) -> Walk:
    # A new one each time: `set_timesteps` does not reset all that an earlier job left in a scheduler, and what is left
    # there would count as what every scheduler remembers.
    present = loaded.pipe.scheduler
    scheduler = type(present).from_config(present.config)
    # Drawn on the CPU, so a seed means the same noise on every GPU.
    generator = torch.Generator("cpu").manual_seed(picture.seed)
    return Walk(scheduler, generator, picture.steps, until or picture.steps, machine.device, watcher, saved)


def call(loaded: LoadedModel, picture: Picture, walk: Walk, output: str) -> Any:
    shape = shape_of(loaded.pipe, loaded.family, picture.width, picture.height, picture.frames)
    with walking(loaded.pipe, walk, loaded.family.casts_latents):
        return loaded.pipe(
            **{
                **loaded.model.arguments,
                **arguments_of(loaded.family, picture),
                "width": shape.width,
                "height": shape.height,
                "num_frames": shape.frames,
                "num_inference_steps": picture.steps,
                "generator": walk.generator,
                "output_type": output,
            }
        )


KNOWN_PICTURE = Picture(
    prompt="waves at sunset", negative_prompt="", width=16, height=16, frames=5, fps=8, steps=2, seed=42
)


def known_answer(loaded: LoadedModel, machine: Machine) -> str:
    """Latents of a picture as small as the model can do. The same weights on the same device always give the same."""
    shape: Shape = shape_of(loaded.pipe, loaded.family, KNOWN_PICTURE.width, KNOWN_PICTURE.height, KNOWN_PICTURE.frames)
    picture = replace(KNOWN_PICTURE, width=shape.width, height=shape.height, frames=shape.frames)
    walk = walk_of(loaded, machine, picture, QuietWatcher(), None)
    call(loaded, picture, walk, output="latent")
    return hash_of([copied(walk.snapshot()).latents])
