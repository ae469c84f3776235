"""What a real-sized video model costs on the GPU that is here, and whether it goes on exactly: one JSON line a case.

    npm run bench:gpu                      both sizes of Wan 2.1, 480p and 720p; needs about 70 GB of GPU memory
    npm run bench:gpu -- --model 1.3b      only the small one (16 GB at 480p)
    npm run bench:gpu -- --model tiny      a few seconds on a CPU: whether the script works

Weights are random, so nothing is fetched: a step costs what it costs with the real ones. Each case is rendered whole with a
checkpoint in the middle, and then gone on with from that checkpoint by another process, which must end with the same latents.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "gpu-runner/engines/diffusers"), str(ROOT / "tests/engines/diffusers")]

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from sidecar.checkpoint import Identity, Origin, copied, load, picture_key, save
from sidecar.container import hash_of
from sidecar.family import family_of
from sidecar.loading import LoadedModel
from sidecar.machine import Machine, settle
from sidecar.render import QuietWatcher, call, walk_of
from sidecar.resumable import resumable
from sidecar.walk import Snapshot, Walk
from sidecar.wire import Model, Picture
from tiny_models import byte_tokenizer, wan_vae
from transformers import UMT5Config, UMT5EncoderModel

STEPS = 6
KEPT_AFTER = 3
JOB = "video_" + "0" * 32
TEXT_WIDTH = 4096
SIZES: dict[str, dict[str, int]] = {
    "1.3b": {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30},
    "14b": {"num_attention_heads": 40, "attention_head_dim": 128, "ffn_dim": 13824, "num_layers": 40},
    "tiny": {"num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32, "num_layers": 2},
}
SHAPES = {"480p": (832, 480, 81), "720p": (1280, 720, 81), "tiny": (64, 48, 9)}


class StepTimes(QuietWatcher):
    """Also keeps what a checkpoint in the middle would hold."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.kept: Snapshot | None = None

    def after_step(self, walk: Walk, ms: float) -> None:
        self.ms.append(ms)
        if walk.done == KEPT_AFTER:
            self.kept = copied(walk.snapshot())


def model_of(size: str, machine: Machine) -> LoadedModel:
    """The same weights in every process."""
    dtype = torch.float32 if size == "tiny" else torch.bfloat16
    torch.manual_seed(1)
    torch.set_default_dtype(dtype)
    with torch.device(machine.device):
        transformer = WanTransformer3DModel(**SIZES[size], text_dim=TEXT_WIDTH, freq_dim=256)
        encoder = UMT5EncoderModel(
            UMT5Config(vocab_size=260, d_model=TEXT_WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=4)
        )
        torch.set_default_dtype(torch.float32)
        vae = wan_vae() if size == "tiny" else AutoencoderKLWan()
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    pipe = resumable(WanPipeline)(
        tokenizer=byte_tokenizer(), text_encoder=encoder, transformer=transformer.eval(), vae=vae.eval(), scheduler=scheduler
    )
    pipe.set_progress_bar_config(disable=True)
    entry = Model(size, "WanPipeline", None, None, None, {"default": str(dtype)}, None, {}, "none", False)
    return LoadedModel(entry, family_of("WanPipeline"), pipe, "random", "unipc")


def origin_of(loaded: LoadedModel, machine: Machine, picture: Picture) -> Origin:
    identity = Identity(loaded.weights, loaded.sampler, picture_key(picture))
    return Origin(JOB, 1, STEPS, identity, machine, loaded.model.name, loaded.sampler_name)


def denoised(loaded: LoadedModel, machine: Machine, picture: Picture, saved: Snapshot | None) -> tuple[StepTimes, Snapshot]:
    watcher = StepTimes()
    walk = walk_of(loaded, machine, picture, watcher, saved)
    call(loaded, picture, walk, output="latent")
    return watcher, copied(walk.snapshot())


def measured(size: str, shape: str) -> dict[str, Any]:
    machine, picture = settle(), picture_of(shape)
    loaded = model_of(size, machine)
    weights_bytes = machine.used_bytes()
    times, final = denoised(loaded, machine, picture, None)
    denoise_bytes = machine.used_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.safetensors"
        assert times.kept is not None
        began = time.perf_counter()
        written = save(path, origin_of(loaded, machine, picture), times.kept, "exact")
        save_ms = (time.perf_counter() - began) * 1_000
        began = time.perf_counter()
        load(path, JOB, origin_of(loaded, machine, picture))
        load_ms = (time.perf_counter() - began) * 1_000
        began = time.perf_counter()
        call(loaded, picture, walk_of(loaded, machine, picture, QuietWatcher(), final), output="np")
        decode_ms = (time.perf_counter() - began) * 1_000
        decode_bytes = machine.used_bytes()
        # Its memory is for the other process now.
        del loaded
        if machine.device.type == "cuda":
            torch.cuda.empty_cache()
        answer = subprocess.run(
            [sys.executable, "-B", __file__, "--model", size, "--shape", shape, "--resume", str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
    resumed = json.loads(answer.stdout.splitlines()[-1])["latents"]
    return {
        "model": size,
        "shape": shape,
        "gpu": machine.name,
        "build": machine.build,
        "step_ms": round(statistics.median(times.ms[1:]), 1),
        "first_step_ms": round(times.ms[0], 1),
        "decode_ms": round(decode_ms, 1),
        "checkpoint_bytes": written.bytes,
        "save_ms": round(save_ms, 1),
        "load_ms": round(load_ms, 1),
        "weights_bytes": weights_bytes,
        "denoise_peak_bytes": denoise_bytes,
        "decode_peak_bytes": decode_bytes,
        "resumed_equal": resumed == hash_of([final.latents]),
    }


def resumed_latents(size: str, shape: str, path: Path) -> str:
    machine, picture = settle(), picture_of(shape)
    loaded = model_of(size, machine)
    saved = load(path, JOB, origin_of(loaded, machine, picture)).snapshot
    return hash_of([denoised(loaded, machine, picture, saved)[1].latents])


def picture_of(shape: str) -> Picture:
    width, height, frames = SHAPES[shape]
    return Picture("a red fox in the snow", "", width, height, 16, frames, STEPS, 7)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=SIZES)
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--resume", type=Path)
    asked = parser.parse_args()
    if asked.resume is not None:
        print(json.dumps({"latents": resumed_latents(asked.model, asked.shape, asked.resume)}))
        return
    sizes = [asked.model] if asked.model else ["1.3b", "14b"]
    equal = True
    for size in sizes:
        for shape in [asked.shape] if asked.shape else (["tiny"] if size == "tiny" else ["480p", "720p"]):
            figures = measured(size, shape)
            equal = equal and figures["resumed_equal"]
            print(json.dumps(figures), flush=True)
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
