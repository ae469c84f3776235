"""A checkpoint file is whole or not there, whenever its writer is killed; and the `safetensors` package reads what we write."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "gpu-runner" / "engines" / "diffusers"))

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from sidecar.container import hash_of, write_tensors

ROUNDS = 24
VALUES = 2_000_000
CONTENTS = [
    (latents, {"sha256": hash_of([latents])}) for latents in (torch.full((VALUES,), float(at)) for at in range(3))
]


class CheckpointFileTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def test_every_type_of_number_comes_back_as_it_was(self) -> None:
        tensors = {
            "f32": torch.randn(2, 3),
            "bf16": torch.randn(3).to(torch.bfloat16),
            "f16": torch.randn(1, 1, 5).to(torch.float16),
            "f64": torch.randn(2, dtype=torch.float64),
            "i64": torch.tensor(937),
            "i32": torch.arange(3, dtype=torch.int32),
            "u8": torch.arange(7, dtype=torch.uint8),
            "bool": torch.tensor([True, False]),
            "turned": torch.randn(3, 4).T,
        }
        path = self.folder / "x.safetensors"
        write_tensors(path, {"ckpt": json.dumps({"step": 1})}, tensors)
        found = load_file(path)
        self.assertEqual(set(found), set(tensors))
        for name, tensor in tensors.items():
            self.assertEqual(found[name].dtype, tensor.dtype)
            self.assertTrue(torch.equal(found[name], tensor), name)
        with safe_open(path, framework="pt") as file:
            self.assertEqual(json.loads(file.metadata()["ckpt"]), {"step": 1})

    def test_a_writer_killed_at_any_moment_leaves_no_half_file_under_a_final_name(self) -> None:
        halves = wholes = 0
        for kill in range(ROUNDS):
            writer = self.forked_writer()
            time.sleep((kill * 37 % 100) / 1_000)
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
            for path in self.folder.iterdir():
                if path.suffix == ".part":
                    halves += 1
                    path.unlink()
                    continue
                with safe_open(path, framework="pt") as file:
                    said = file.metadata()["sha256"]
                    self.assertEqual(hash_of([file.get_tensor("latents")]), said, path.name)
                wholes += 1
        print(f"{ROUNDS} kills, {halves} of them within a write, {wholes} whole files read back", file=sys.stderr)
        # The kills did hit writers at work, and there was something to look at.
        self.assertGreater(halves, 0)
        self.assertGreater(wholes, 0)

    def forked_writer(self) -> int:
        """A process that does nothing but write checkpoints; it has written one when this returns."""
        reading, writing = os.pipe()
        writer = os.fork()
        if writer == 0:
            for turn in range(1_000_000):
                # Nothing but writing, so a kill nearly always hits one.
                latents, metadata = CONTENTS[turn % len(CONTENTS)]
                write_tensors(self.folder / f"checkpoint-{turn % 3}.safetensors", metadata, {"latents": latents})
                if turn == 0:
                    os.write(writing, b".")
        os.close(writing)
        self.assertEqual(os.read(reading, 1), b".")
        os.close(reading)
        return writer


if __name__ == "__main__":
    unittest.main()
