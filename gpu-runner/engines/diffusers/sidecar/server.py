"""The process: one thread hears the runner, the main one works. Orders to stop and pings are heard in the middle of a step.

It dies with its runner: when stdin closes there is nobody left to render for.
"""

from __future__ import annotations

import os
import platform
import queue
import threading
import time
import traceback
from functools import partial
from typing import TextIO

from . import PROTOCOL
from .family import FAMILIES
from .faults import error_of
from .loading import LoadedModel, load_model, release, to_device
from .machine import Machine, is_out_of_memory, seen, versions
from .render import Render, Stopper, known_answer
from .shelf import Shelf
from .wire import LINE_BYTES_MAX, Exit, Load, Model, Order, Ping, Run, Speaker, Stop, Unload, WireError, parse_order


class Server:
    def __init__(self, machine: Machine, shelf: Shelf, orders: TextIO, speaker: Speaker, log: TextIO) -> None:
        self._machine = machine
        self._shelf = shelf
        self._orders = orders
        self._speaker = speaker
        self._log = log
        self._work: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._stoppers: dict[int, Stopper] = {}
        self._loaded: LoadedModel | None = None
        self._answer: str | None = None
        # A render that ran out of memory may have left some of its tensors in the model's parts, on the device.
        self._littered = False

    def serve(self) -> None:
        machine = self._machine
        self._speaker.say(
            "hello",
            protocol=PROTOCOL,
            build=machine.build,
            devices=seen(machine),
            pipelines=sorted(FAMILIES),
            versions={"python": platform.python_version(), **versions()},
        )
        threading.Thread(target=self._hear, daemon=True).start()
        while True:
            order = self._work.get()
            if isinstance(order, Load):
                self._load(order)
            elif isinstance(order, Run):
                self._run(order)
            elif isinstance(order, Unload):
                self._let_go()
                self._shelf.clear()
                self._speaker.say("unloaded", run=order.run, vram_bytes=release(machine))
            elif isinstance(order, Exit):
                return

    def _hear(self) -> None:
        try:
            while line := self._orders.readline(LINE_BYTES_MAX):
                self._take(parse_order(line))
        except WireError as fault:
            print(f"the runner said something else than an order: {fault}", file=self._log, flush=True)
        finally:
            # In a step, in a decode, wherever: nobody wants its result any more.
            os._exit(0)

    def _take(self, order: Order) -> None:
        if isinstance(order, Ping):
            self._speaker.say("pong", n=order.n)
        elif isinstance(order, Stop):
            self._stoppers.setdefault(order.run, Stopper()).ask(order.why)
        else:
            if isinstance(order, Run):
                self._stoppers.setdefault(order.run, Stopper())
            self._work.put(order)

    def _load(self, order: Load) -> None:
        began = time.perf_counter()
        try:
            found, loaded = self._brought(order.model)
            if order.model.known_answer and self._answer is None:
                self._answer = known_answer(loaded, self._machine)
            self._speaker.say(
                "loaded",
                run=order.run,
                seconds=time.perf_counter() - began,
                vram_bytes=self._machine.used_bytes(),
                known_answer=self._answer,
                **{"from": found},
            )
        except Exception as fault:
            self._let_go()
            self._failed(order.run, fault, "load")

    def _brought(self, model: Model) -> tuple[str, LoadedModel]:
        """On the device, and where it was before."""
        if self._loaded is not None and self._loaded.model == model:
            return "device", self._loaded
        # Before the other one is put there: it makes room, and must not be what goes for it.
        kept = self._shelf.take(model)
        self._put_aside()
        if kept is None:
            self._loaded = load_model(model, self._machine)
            return "disk", self._loaded
        to_device(kept, self._machine)
        self._loaded = kept
        return "memory", kept

    def _put_aside(self) -> None:
        """Kept or not, the device's memory is free afterwards."""
        aside = None if self._littered else self._loaded
        try:
            if aside is not None:
                self._shelf.put(aside)
        except Exception as fault:
            # Whoever comes next does not need it to be kept.
            if not is_out_of_memory(fault):
                raise
        finally:
            del aside
            self._let_go()

    def _run(self, order: Run) -> None:
        stopper = self._stoppers[order.run]
        say = partial(self._speaker.say, run=order.run)
        if self._loaded is None:
            return say("failed", error={"class": "host_fatal", "code": "model_unusable", "detail": "no model is loaded"})
        render = Render(order, self._loaded, self._machine, say, stopper)
        try:
            render.run()
        except Exception as fault:
            self._failed(order.run, fault, render.stage)
            self._littered = self._littered or is_out_of_memory(fault)
            release(self._machine)
        finally:
            del self._stoppers[order.run]

    def _failed(self, run: int, fault: Exception, stage: str) -> None:
        error = error_of(fault, stage)
        if error["class"] == "engine_fatal":
            traceback.print_exception(fault, file=self._log)
        self._speaker.say("failed", run=run, error=error)

    def _let_go(self) -> None:
        self._loaded = None
        self._answer = None
        self._littered = False
        release(self._machine)

