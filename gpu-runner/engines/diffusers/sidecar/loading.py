"""A model from the operator's file to a pipeline on the device, and from there to main memory and back.

One is on the device at a time; which others stay in main memory is `shelf.py`'s to say.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from .checkpoint import sha256_of
from .family import Family, family_of
from .machine import Machine, is_out_of_memory
from .resumable import resumable
from .weights import weights_digest
from .wire import Model

_OFFLOADS = ("none", "model")


class ModelError(Exception):
    """The model cannot be loaded as its entry says; another runner, or another entry, may do better."""


@dataclass(frozen=True)
class LoadedModel:
    model: Model
    family: Family
    pipe: Any
    weights: str
    """Digest of all its files."""
    sampler: str
    """Digest of everything else that decides a step, beside the picture."""

    @property
    def sampler_name(self) -> str:
        return type(self.pipe.scheduler).__name__


def load_model(model: Model, machine: Machine) -> LoadedModel:
    family = family_of(model.pipeline)
    if model.offload not in _OFFLOADS:
        raise ModelError(f"'offload' must be one of {', '.join(_OFFLOADS)}, not '{model.offload}'")
    pipeline = resumable(getattr(diffusers, model.pipeline))
    try:
        folder = _folder_of(model, pipeline)
        pipe = pipeline.from_pretrained(folder, dtype=_dtypes(model.dtype), local_files_only=True)
    except Exception as fault:
        # Wherever it comes from, a file that is missing or does not fit is no fault of the job.
        if is_out_of_memory(fault):
            raise
        raise ModelError(f"'{model.name}' cannot be loaded: {fault}") from fault
    if model.scheduler is not None:
        pipe.scheduler = _scheduler(pipe.scheduler, model.scheduler)
    pipe.set_progress_bar_config(disable=True)
    sampler = sha256_of(
        {
            "pipeline": model.pipeline,
            "scheduler": type(pipe.scheduler).__name__,
            "scheduler_config": {key: value for key, value in pipe.scheduler.config.items() if not key.startswith("_")},
            "arguments": dict(model.arguments),
            "dtype": dict(model.dtype),
        }
    )
    loaded = LoadedModel(model, family, pipe, weights_digest(folder), sampler)
    to_device(loaded, machine)
    return loaded


def to_device(loaded: LoadedModel, machine: Machine) -> None:
    """From main memory to where it computes; if that fails half of it is there, and it is good for nothing."""
    if loaded.model.offload == "model" and machine.device.type == "cuda":
        loaded.pipe.enable_model_cpu_offload(device=machine.device)
    else:
        loaded.pipe.to(machine.device)


def to_memory(loaded: LoadedModel) -> None:
    """On a CPU the weights stay where they are. A copy would do less well: there the sums depend on how numbers are aligned."""
    # The hooks of `offload` may come off: diffusers itself takes them off, moves all parts to main memory and sets new ones at the
    # end of every call of a pipeline (`maybe_free_model_hooks`). So a model with hooks is kept like any other.
    loaded.pipe.remove_all_hooks()
    loaded.pipe.to("cpu", silence_dtype_warnings=True)


def release(machine: Machine) -> int:
    """To be called when the last reference is gone; how much is still held afterwards."""
    gc.collect()
    if machine.device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(machine.device)
    return int(torch.cuda.memory_allocated(machine.device))


def _folder_of(model: Model, pipeline: type[Any]) -> Path:
    if model.path is not None:
        folder = Path(model.path)
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}")
        return folder
    assert model.repo is not None
    return Path(pipeline.download(model.repo, revision=model.revision))


def _dtypes(names: Mapping[str, str]) -> Any:
    dtypes = {part: getattr(torch, name) for part, name in names.items()}
    return dtypes["default"] if len(dtypes) == 1 else dtypes


def _scheduler(present: Any, wanted: Mapping[str, Any]) -> Any:
    kind = getattr(diffusers, str(wanted["class"]), None)
    if kind is None:
        raise ModelError(f"diffusers has no scheduler '{wanted['class']}'")
    return kind.from_config(present.config, **wanted.get("config", {}))
