"""What renders here: the libraries, the device, and the settings by which the same job gives the same bits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import diffusers
import safetensors
import torch
import transformers

from . import BUILD

THREADS_MAX = 16


@dataclass(frozen=True)
class Machine:
    build: str
    name: str
    """Of the GPU; of a CPU the instruction set and the threads, because its sums depend on both."""
    world_size: int
    device: torch.device
    vram_bytes: int

    def used_bytes(self) -> int:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else 0


def settle() -> Machine:
    """Called once, before anything is computed."""
    # cuBLAS promises the same bits only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.set_grad_enabled(False)
    # Progress is told in events.
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    build = f"diffusers-{diffusers.__version__}+torch-{torch.__version__}+{BUILD}"
    if torch.cuda.is_available():
        device = torch.device("cuda", 0)
        facts = torch.cuda.get_device_properties(device)
        return Machine(build, facts.name, 1, device, facts.total_memory)
    threads = min(torch.get_num_threads(), THREADS_MAX)
    torch.set_num_threads(threads)
    name = f"CPU {torch.backends.cpu.get_cpu_capability()} x{threads}"
    return Machine(build, name, 1, torch.device("cpu"), 0)


def seen(machine: Machine) -> list[dict[str, Any]]:
    """Every GPU that is visible here, or the CPU."""
    if machine.device.type != "cuda":
        return [{"kind": "cpu", "name": machine.name, "vram_bytes": 0}]
    facts = [torch.cuda.get_device_properties(at) for at in range(torch.cuda.device_count())]
    return [{"kind": "cuda", "name": one.name, "vram_bytes": one.total_memory} for one in facts]


def is_out_of_memory(fault: BaseException) -> bool:
    if isinstance(fault, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU's allocator has no type of its own.
    return isinstance(fault, RuntimeError) and "can't allocate memory" in str(fault)


def versions() -> dict[str, str]:
    return {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "safetensors": safetensors.__version__,
    }
