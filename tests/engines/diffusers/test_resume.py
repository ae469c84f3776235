"""A video that is gone on with in another process ends bit for bit as the uninterrupted one: final latents and frames.

Every model and scheduler that `docs/engines.md` calls exact is here, with the real classes and tiny random weights.
"""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path
from typing import Any, ClassVar

from safetensors import safe_open
from safetensors.torch import load_file
from sidecar_process import ForkedSidecar, Message, Sidecar, entry
from tiny_models import MODELS, build
from videos import OTHER_JOB, STEPS, render, result

SHELF_BYTES = 1_000_000_000
RESUMED_AFTER = (1, 3, 5, 6)
EXACT = (
    "wan",
    "wan-euler",
    "wan-dpm",
    "wan22",
    "cogvideox",
    "cogvideox-dpm",
    "cogvideox-dpm-bf16",
    "ltx",
    "hunyuan",
    "hunyuan-bf16",
)


class ResumeTest(unittest.TestCase):
    folder: ClassVar[Path]
    models: ClassVar[Path]
    first: ClassVar[Sidecar]
    second: ClassVar[Sidecar]

    wholes: ClassVar[dict[str, list[Message]]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        cls.models = cls.folder / "models"
        cls.models.mkdir()
        # Two that have nothing in common, not even the order of their sets. The models are back sooner from their shelves.
        cls.first = Sidecar(SHELF_BYTES)
        cls.addClassCleanup(cls.first.close)
        build(cls.models, list(MODELS))
        cls.second = ForkedSidecar(SHELF_BYTES)
        cls.addClassCleanup(cls.second.close)

    def render(self, sidecar: Sidecar, name: str, checkpoint: Path | None, **change: Any) -> list[Message]:
        loaded = sidecar.load(entry(self.models, name))
        self.assertEqual(loaded["t"], "loaded", loaded)
        return render(sidecar, self.folder, checkpoint, **change)

    def whole(self, name: str) -> list[Message]:
        """The uninterrupted video, rendered once by the first process."""
        if name not in self.wholes:
            self.wholes[name] = self.render(self.first, name, None)
            self.assertEqual(self.wholes[name][-1]["t"], "frames", self.wholes[name][-1])
        return self.wholes[name]

    def test_every_model_goes_on_exactly_in_another_process(self) -> None:
        for name in EXACT:
            with self.subTest(model=name):
                whole = self.whole(name)
                kept = {event["step"]: Path(event["path"]) for event in whole if event["t"] == "checkpoint"}
                for step in RESUMED_AFTER:
                    resumed = self.render(self.second, name, kept[step])
                    self.assertEqual(resumed[-1]["t"], "frames", resumed[-1])
                    done = [event["done"] for event in resumed if event["t"] == "step"]
                    self.assertEqual(done, list(range(step + 1, STEPS + 1)))
                    self.assertEqual(result(resumed), result(whole), f"after step {step}")
                    self.assertEqual(resumed[-1]["exactness"], "exact")

    def test_every_model_goes_on_exactly_twice_whatever_earlier_jobs_left_behind(self) -> None:
        """Schedulers keep some of their memory from job to job, and each process has had other jobs."""
        for name in EXACT:
            with self.subTest(model=name):
                whole = self.whole(name)
                self.stopped(self.second, name, 3)
                again = self.render(self.second, name, checkpoint(whole, 2))
                self.assertEqual(result(self.render(self.first, name, checkpoint(again, 4))), result(whole))

    def test_a_draft_of_every_model_ends_early_and_its_rest_in_another_process_is_the_whole(self) -> None:
        for name in EXACT:
            with self.subTest(model=name):
                whole = self.whole(name)
                draft = self.render(self.first, name, None, stop_after=2)
                self.assertEqual(draft[-1]["t"], "frames", draft[-1])
                self.assertEqual([(e["done"], e["of"]) for e in draft if e["t"] == "step"], [(1, 2), (2, 2)])
                kept = checkpoint(draft, 2)
                self.assertIn("expected", load_file(kept), "it knows how the picture is expected to end")
                self.assertNotEqual(result(draft), result(whole))
                again = self.render(self.second, name, kept, stop_after=2)
                self.assertEqual([e for e in again if e["t"] == "step"], [])
                self.assertEqual(result(again), result(draft))
                rest = self.render(self.second, name, kept, job=OTHER_JOB)
                self.assertEqual([e["done"] for e in rest if e["t"] == "step"], list(range(3, STEPS + 1)))
                self.assertEqual(result(rest), result(whole))

    def stopped(self, sidecar: Sidecar, name: str, step: int) -> None:
        """A job that ends in the middle, by latents that went wrong."""
        self.assertEqual(self.render(sidecar, name, None, nan_at=step)[-1]["error"]["code"], "nan_latents")

    def test_what_a_multistep_scheduler_remembers_is_needed(self) -> None:
        """Else the test above would pass without it."""
        for name, part in (("wan", "fields"), ("wan-dpm", "fields"), ("cogvideox-dpm", "carried")):
            with self.subTest(model=name):
                whole = self.whole(name)
                kept = checkpoint(whole, 3)
                forgetful = self.render(self.second, name, without(kept, part))
                self.assertEqual(forgetful[-1]["t"], "frames", forgetful[-1])
                self.assertNotEqual(forgetful[-1]["latents_sha256"], whole[-1]["latents_sha256"])

    def test_a_checkpoint_of_something_else_is_refused_with_the_reason(self) -> None:
        whole = self.whole("wan")
        kept = checkpoint(whole, 3)
        for fault, name, change in (
            ("other_weights", "wan-other", {}),
            ("other_weights", "cogvideox", {}),
            ("other_sampler", "wan-euler", {}),
            ("other_spec", "wan", {"seed": 8}),
            ("other_spec", "wan", {"prompt": "a blue fox in the snow"}),
        ):
            with self.subTest(fault=fault, model=name, **change):
                ending = self.render(self.second, name, kept, **change)[-1]
                self.assertEqual(ending["t"], "failed")
                self.assertEqual((ending["error"]["class"], ending["error"]["code"]), ("retryable", "bad_checkpoint"))
                self.assertTrue(ending["error"]["detail"].startswith(f"{fault}: "), ending)
        self.assertEqual(self.render(self.second, "wan", kept)[-1]["t"], "frames")

    def test_another_build_goes_on_and_says_that_it_is_only_numerically_equal(self) -> None:
        whole = self.whole("wan")
        kept = checkpoint(whole, 3)
        resumed = self.render(self.second, "wan", changed(kept, build="diffusers-0.1.0"))
        self.assertEqual(resumed[-1]["exactness"], "numerical")
        later = [event for event in resumed if event["t"] == "checkpoint"]
        self.assertTrue(later)
        self.assertEqual({event["exactness"] for event in later}, {"numerical"})

    def test_the_same_weights_give_the_known_answer_in_every_process_and_others_another(self) -> None:
        answers = [
            sidecar.load(entry(self.models, name))["known_answer"]
            for sidecar, name in ((self.first, "wan"), (self.second, "wan"), (self.first, "wan-other"))
        ]
        self.assertEqual(answers[0], answers[1])
        self.assertNotEqual(answers[0], answers[2])

    def test_a_sidecar_without_a_runner_ends(self) -> None:
        self.assertEqual(ForkedSidecar().close(), 0)


def checkpoint(events: list[Message], step: int) -> Path:
    return next(Path(event["path"]) for event in events if event["t"] == "checkpoint" and event["step"] == step)


def changed(path: Path, **fields: Any) -> Path:
    """The same file with another manifest, as our own writer would have made it."""
    return rewritten(path, {**manifest_of(path), **fields}, load_file(path))


def without(path: Path, part: str) -> Path:
    """As if the engine had not kept it: the scheduler's history, or what the loop carries."""
    manifest, tensors = manifest_of(path), load_file(path)
    if part == "carried":
        del tensors["carried"]
    else:
        manifest["sampler"]["fields"] = {"_step_index": manifest["sampler"]["fields"]["_step_index"]}
    return rewritten(path, manifest, tensors)


def manifest_of(path: Path) -> Message:
    with safe_open(path, framework="pt") as file:
        manifest: Message = json.loads(file.metadata()["ckpt"])
        return manifest


def rewritten(path: Path, manifest: Message, tensors: dict[str, Any]) -> Path:
    from safetensors.torch import save_file

    target = path.with_name("changed.safetensors")
    save_file(tensors, target, metadata={"ckpt": json.dumps(manifest)})
    return target


if __name__ == "__main__":
    unittest.main()
