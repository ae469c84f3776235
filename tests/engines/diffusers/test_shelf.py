"""Models that were put aside: which of them stay in main memory, and that one which comes back is the same to the bit."""

from __future__ import annotations

import gc
import io
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

PACKAGE = Path(__file__).parents[3] / "gpu-runner" / "engines" / "diffusers"
sys.path.insert(0, str(PACKAGE))

import torch
from sidecar.family import family_of
from sidecar.loading import LoadedModel, load_model, to_device, to_memory
from sidecar.machine import Machine
from sidecar.render import known_answer
from sidecar.server import Server
from sidecar.shelf import Shelf, bytes_of
from sidecar.wire import Load, Model, Speaker, parse_order
from sidecar_process import PROGRAM, ForkedSidecar, Message, entry
from tiny_models import build
from videos import render, result

MODELS = ("wan", "wan-other", "wan-euler")
PIPE_BYTES = 400
"""Of `StandIn`: a hundred numbers."""
CPU = Machine("test", "CPU", 1, torch.device("cpu"), 0)
ELSEWHERE = Machine("test", "another device", 1, torch.device("meta"), 0)



def setUpModule() -> None:
    """As `start.py` does."""
    gc.freeze()


def tearDownModule() -> None:
    gc.unfreeze()


class StandIn:
    """For a pipeline: it has weights, and remembers where it was moved."""

    def __init__(self, **parts: Any) -> None:
        self.components = parts or {"transformer": torch.nn.Linear(100, 1, bias=False), "scheduler": object()}
        self.moves: list[str] = []
        self.faults: list[Exception] = []

    def to(self, device: object, **_: object) -> None:
        self.moves.append(str(device))
        if self.faults:
            raise self.faults.pop()

    def remove_all_hooks(self) -> None:
        self.moves.append("no hooks")


def a_model(name: str, **change: Any) -> Model:
    fields: dict[str, Any] = {
        "pipeline": "WanPipeline",
        "path": f"/models/{name}",
        "repo": None,
        "revision": None,
        "dtype": {"default": "float32"},
        "scheduler": None,
        "arguments": {},
        "offload": "none",
        "known_answer": False,
    }
    return Model(name, **{**fields, **change})


def loaded(model: Model | str, pipe: Any = None) -> LoadedModel:
    model = a_model(model) if isinstance(model, str) else model
    return LoadedModel(model, family_of(model.pipeline), pipe or StandIn(), "weights", "sampler")


class ShelfTest(unittest.TestCase):
    def kept(self, shelf: Shelf, *names: str) -> list[str]:
        return [name for name in names if shelf.take(a_model(name)) is not None]

    def test_whoever_was_not_used_for_longest_goes_first(self) -> None:
        shelf = Shelf(2 * PIPE_BYTES)
        shelf.put(loaded("a"))
        shelf.put(loaded("b"))
        again = shelf.take(a_model("a"))
        assert again is not None
        shelf.put(again)
        shelf.put(loaded("c"))
        self.assertEqual(shelf.used_bytes(), 2 * PIPE_BYTES)
        self.assertEqual(self.kept(shelf, "a", "b", "c"), ["a", "c"])
        self.assertEqual(shelf.used_bytes(), 0)

    def test_older_ones_go_before_a_model_comes_into_main_memory(self) -> None:
        shelf = Shelf(PIPE_BYTES)
        shelf.put(loaded("a"))
        held: list[int] = []
        with mock.patch("sidecar.shelf.to_memory", lambda _: held.append(shelf.used_bytes())):
            shelf.put(loaded("b"))
        self.assertEqual(held, [0])

    def test_one_that_alone_is_larger_than_the_limit_is_not_moved_and_makes_nobody_go(self) -> None:
        shelf = Shelf(PIPE_BYTES)
        shelf.put(loaded("a"))
        large = StandIn(transformer=torch.nn.Linear(101, 1, bias=False))
        shelf.put(loaded("large", large))
        self.assertEqual(large.moves, [])
        self.assertEqual(self.kept(shelf, "a", "large"), ["a"])

    def test_a_limit_of_nothing_keeps_nothing(self) -> None:
        shelf = Shelf(0)
        shelf.put(loaded("a"))
        self.assertEqual(self.kept(shelf, "a"), [])

    def test_an_entry_that_changed_is_another_model(self) -> None:
        shelf = Shelf(PIPE_BYTES)
        shelf.put(loaded("a"))
        for change in ({"path": "/models/b"}, {"dtype": {"default": "bfloat16"}}, {"scheduler": {"class": "X"}}):
            self.assertIsNone(shelf.take(a_model("a", **change)))
        self.assertIsNotNone(shelf.take(a_model("a")))

    def test_weights_and_buffers_of_all_parts_count_and_what_they_share_counts_once(self) -> None:
        numbers = torch.nn.Parameter(torch.zeros(100))
        one, two = torch.nn.Module(), torch.nn.Module()
        one.register_parameter("numbers", numbers)
        two.register_parameter("numbers", numbers)
        two.register_parameter("some_of_them", torch.nn.Parameter(numbers.detach()[:10]))
        two.register_buffer("buffer", torch.zeros(7, dtype=torch.int64))
        parts = {"text_encoder": one, "transformer": two, "tokenizer": "no module", "transformer_2": None}
        self.assertEqual(bytes_of(StandIn(**parts)), 100 * 4 + 7 * 8)


class ServerTest(unittest.TestCase):
    """On a device that is not main memory, as far as the pipelines can tell."""

    def setUp(self) -> None:
        self.pipes: dict[str, StandIn] = {}
        self.said = io.StringIO()
        self.server = Server(ELSEWHERE, Shelf(10 * PIPE_BYTES), io.StringIO(), Speaker(self.said), io.StringIO())
        self.answers: list[str] = []
        self.enterContext(mock.patch("sidecar.server.load_model", self.from_disk))
        self.enterContext(mock.patch("sidecar.server.known_answer", self.answer))

    def from_disk(self, model: Model, _: Machine) -> LoadedModel:
        self.pipes[model.name] = StandIn()
        return loaded(model, self.pipes[model.name])

    def answer(self, one: LoadedModel, _: Machine) -> str:
        self.answers.append(one.model.name)
        return "an answer"

    def load(self, name: str, **change: Any) -> Message:
        self.server._load(Load(1, a_model(name, **change)))
        heard: Message = json.loads(self.said.getvalue().splitlines()[-1])
        return heard

    def test_a_model_is_moved_to_main_memory_for_another_and_back_when_it_is_asked_for(self) -> None:
        self.assertEqual([self.load(name)["from"] for name in ("a", "b", "a", "a")], ["disk", "disk", "memory", "device"])
        self.assertEqual(self.pipes["a"].moves, ["no hooks", "cpu", "meta"])
        self.assertEqual(self.pipes["b"].moves, ["no hooks", "cpu"])

    def test_each_move_to_the_device_is_asked_for_the_known_answer(self) -> None:
        for name in ("a", "b", "a", "a"):
            self.assertEqual(self.load(name, known_answer=True)["known_answer"], "an answer")
        self.assertEqual(self.answers, ["a", "b", "a"])

    def test_without_memory_to_come_back_to_nothing_is_loaded_and_the_disk_is_asked_again(self) -> None:
        self.load("a")
        self.load("b")
        self.pipes["a"].faults.append(torch.OutOfMemoryError("no room on the device"))
        self.assertEqual(self.load("a")["error"]["code"], "oom_load")
        self.assertEqual([self.load(name)["from"] for name in ("a", "b")], ["disk", "memory"])

    def test_without_main_memory_to_move_to_a_model_is_let_go_and_the_next_one_loaded(self) -> None:
        self.load("a")
        self.pipes["a"].faults.append(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
        self.assertEqual([self.load(name)["from"] for name in ("b", "a")], ["disk", "disk"])

    def test_a_device_that_fails_at_a_move_is_reported(self) -> None:
        self.load("a")
        self.pipes["a"].faults.append(RuntimeError("CUDA error: an illegal memory access was encountered"))
        self.assertEqual(self.load("b")["error"]["class"], "engine_fatal")


class OffloadTest(unittest.TestCase):
    def test_a_model_whose_parts_are_offloaded_answers_the_same_without_its_hooks_and_with_new_ones(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder), ["wan"])
            order = json.dumps({"t": "load", "run": 1, "model": entry(Path(folder), "wan")})
            parsed = parse_order(order)
            assert isinstance(parsed, Load)
            one = load_model(parsed.model, CPU)
        # From "cpu" to "cpu:0" is a copy, and the sums of a CPU depend on where its numbers lie: what was copied is compared.
        one.pipe.to("cpu:0")
        answers = [known_answer(one, CPU)]
        for _ in range(2):
            # What `to_device` does with such a model on a GPU.
            one.pipe.enable_model_cpu_offload(device=CPU.device)
            self.assertTrue(hasattr(one.pipe.transformer, "_hf_hook"))
            answers.append(known_answer(one, CPU))
            to_memory(one)
            self.assertFalse(hasattr(one.pipe.transformer, "_hf_hook"))
        to_device(one, CPU)
        answers.append(known_answer(one, CPU))
        self.assertEqual(len(set(answers)), 1)


class SidecarTest(unittest.TestCase):
    folder: ClassVar[Path]
    model_bytes: ClassVar[int]

    @classmethod
    def setUpClass(cls) -> None:
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        build(cls.folder, ["wan", "wan-other"])
        found = (cls.folder / "wan").rglob("*.safetensors")
        cls.model_bytes = sum(path.stat().st_size for path in found)

    def sidecar(self, shelf_bytes: int) -> ForkedSidecar:
        sidecar = ForkedSidecar(shelf_bytes)
        self.addCleanup(sidecar.close)
        return sidecar

    def load(self, sidecar: ForkedSidecar, *names: str) -> list[Message]:
        return [sidecar.load(entry(self.folder, name)) for name in names]

    def test_a_model_that_comes_back_renders_the_same_bits(self) -> None:
        sidecar = self.sidecar(10 * self.model_bytes)
        first = self.load(sidecar, "wan")[0]
        whole = render(sidecar, self.folder)
        other = self.load(sidecar, "wan-other")[0]
        self.assertNotEqual(result(render(sidecar, self.folder)), result(whole))
        back, warm = self.load(sidecar, "wan", "wan")
        self.assertEqual([one["from"] for one in (first, other, back, warm)], ["disk", "disk", "memory", "device"])
        self.assertEqual(result(render(sidecar, self.folder)), result(whole))
        self.assertEqual({one["known_answer"] for one in (first, back, warm)}, {first["known_answer"]})
        self.assertLess(warm["seconds"], back["seconds"], "it is what this order took")

    def test_with_a_limit_for_one_the_oldest_goes_and_no_other(self) -> None:
        sidecar = self.sidecar(self.model_bytes * 3 // 2)
        heard = self.load(sidecar, "wan", "wan-other", "wan-euler", "wan-other", "wan")
        self.assertEqual([one["from"] for one in heard], ["disk", "disk", "disk", "memory", "disk"])

    def test_without_a_limit_nothing_is_kept(self) -> None:
        heard = self.load(self.sidecar(0), "wan", "wan-other", "wan", "wan")
        self.assertEqual([one["from"] for one in heard], ["disk", "disk", "disk", "device"])

    def test_a_model_that_ran_out_of_memory_is_not_kept(self) -> None:
        sidecar = self.sidecar(10 * self.model_bytes)
        self.load(sidecar, "wan")
        self.assertEqual(render(sidecar, self.folder, oom_at=2)[-1]["error"]["code"], "oom_denoise")
        self.assertEqual([one["from"] for one in self.load(sidecar, "wan", "wan-other", "wan")], ["device", "disk", "disk"])

    def test_an_unload_lets_go_of_what_was_put_aside_as_well(self) -> None:
        sidecar = self.sidecar(10 * self.model_bytes)
        self.load(sidecar, "wan", "wan-other")
        sidecar.say({"t": "unload", "run": 9})
        self.assertEqual(sidecar.hear()["t"], "unloaded")
        self.assertEqual([one["from"] for one in self.load(sidecar, "wan-other", "wan")], ["disk", "disk"])

    def test_a_limit_that_is_no_number_of_bytes_is_refused_at_start(self) -> None:
        for wrong in ("-1", "1e9", "much"):
            done = subprocess.run(
                [sys.executable, "-B", str(PROGRAM), f"--shelf-bytes={wrong}"], capture_output=True, text=True
            )
            self.assertEqual(done.returncode, 2)
            self.assertIn("--shelf-bytes", done.stderr)


if __name__ == "__main__":
    unittest.main()
