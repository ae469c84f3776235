"""`ckpt/1` of this engine: a `Snapshot` in one safetensors file, with a manifest that says whose it is.

The runner has checked that the file is whole, and the job's at a step that it has (`gpu-runner/checkpoint/manifest.ts`). Here
it is checked that the rest would be the same picture: weights, sampler and picture. Another build of the libraries, another
GPU or another number of them are allowed, and make the rest `numerical` instead of `exact`.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from .container import Written, entries_of, hash_of, write_tensors
from .machine import Machine
from .memory import PLAIN, Memory
from .walk import Embeddings, Snapshot
from .wire import Picture

MANIFEST_KEY = "ckpt"


class CheckpointError(Exception):
    """The file is not what this job can go on from; `fault` is one of `checkpoint-error.ts`."""

    def __init__(self, fault: str, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault


@dataclass(frozen=True)
class Identity:
    """Everything that decides the latents, by what may be told apart in a refusal."""

    weights: str
    sampler: str
    picture: str

    @property
    def compat(self) -> str:
        return sha256_of(asdict(self))


@dataclass(frozen=True)
class Origin:
    """Who writes a checkpoint."""

    job: str
    epoch: int
    steps: int
    identity: Identity
    machine: Machine
    model: str
    sampler_name: str


@dataclass(frozen=True)
class Loaded:
    snapshot: Snapshot
    exactness: str


def sha256_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def picture_key(picture: Picture) -> str:
    return sha256_of(asdict(picture))


def copied(snapshot: Snapshot) -> Snapshot:
    """In main memory and on its own: the next step may run while it is written."""
    return Snapshot(
        step=snapshot.step,
        latents=_own(snapshot.latents),
        rng=_own(snapshot.rng),
        scheduler={name: _own_all(value) for name, value in snapshot.scheduler.items()},
        carried=None if snapshot.carried is None else _own(snapshot.carried),
        prompts=tuple(tuple(None if one is None else _own(one) for one in call) for call in snapshot.prompts),
        expected=None if snapshot.expected is None else _own(snapshot.expected),
    )


def save(path: Path, origin: Origin, snapshot: Snapshot, exactness: str) -> Written:
    """After the last step only what the decoding needs is kept."""
    over = snapshot.step == origin.steps
    tensors: dict[str, torch.Tensor] = {"latents": snapshot.latents, "rng": snapshot.rng}
    fields = {} if over else {name: _stored(f"scheduler.{name}", value, tensors) for name, value in snapshot.scheduler.items()}
    if snapshot.carried is not None and not over:
        tensors["carried"] = snapshot.carried
    if snapshot.expected is not None:
        tensors["expected"] = snapshot.expected
    prompts = [_stored_call(call, values, tensors) for call, values in enumerate(snapshot.prompts)]
    entries = entries_of(tensors)
    manifest = {
        "format": "ckpt/1",
        "lease": {"job": origin.job, "epoch": origin.epoch},
        "step": snapshot.step,
        "of": origin.steps,
        "stage": "decode-pending" if over else "denoise",
        "build": origin.machine.build,
        "compat": origin.identity.compat,
        "gpu": origin.machine.name,
        "world_size": origin.machine.world_size,
        "tensors": [{"name": one.name, "dtype": one.dtype, "shape": list(one.shape)} for one in entries],
        "sha256": hash_of(tensors.values()),
        "bytes": sum(one.numel() * one.element_size() for one in tensors.values()),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "exactness": exactness,
        "model": origin.model,
        "identity": asdict(origin.identity),
        "sampler": {"name": origin.sampler_name, "fields": fields},
        "prompts": prompts,
    }
    return write_tensors(path, {MANIFEST_KEY: json.dumps(manifest, allow_nan=False)}, tensors)


def load(path: Path, written_for: str, origin: Origin) -> Loaded:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            manifest = json.loads((file.metadata() or {}).get(MANIFEST_KEY, "null"))
            _check(manifest, written_for, origin)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, ValueError) as fault:
        raise CheckpointError("not_safetensors", str(fault)) from fault
    except OSError as fault:
        raise CheckpointError("unreadable", str(fault)) from fault
    try:
        snapshot = Snapshot(
            step=manifest["step"],
            latents=tensors["latents"],
            rng=tensors["rng"],
            scheduler={name: _found(value, tensors) for name, value in manifest["sampler"]["fields"].items()},
            carried=tensors.get("carried"),
            prompts=tuple(_found_call(call, tensors) for call in manifest["prompts"]),
            expected=tensors.get("expected"),
        )
    except (KeyError, TypeError, AttributeError) as fault:
        raise CheckpointError("wrong_tensors", f"the manifest names what is not there: {fault}") from fault
    return Loaded(snapshot, _exactness(manifest, origin.machine))


def _check(manifest: Any, written_for: str, origin: Origin) -> None:
    if not isinstance(manifest, dict) or manifest.get("format") != "ckpt/1" or "identity" not in manifest:
        raise CheckpointError("no_manifest", "it has no ckpt/1 manifest of this engine")
    if manifest["lease"]["job"] != written_for:
        raise CheckpointError("other_job", f"made for {manifest['lease']['job']}")
    theirs, ours = manifest["identity"], asdict(origin.identity)
    for part, fault in (("weights", "other_weights"), ("sampler", "other_sampler"), ("picture", "other_spec")):
        if theirs.get(part) != ours[part]:
            raise CheckpointError(fault, f"its {part} is {theirs.get(part)}, and {ours[part]} is due")
    if manifest["compat"] != origin.identity.compat:
        raise CheckpointError("other_spec", "its compatibility key is not the one of its parts")
    if manifest["of"] != origin.steps or manifest["sampler"]["name"] != origin.sampler_name:
        raise CheckpointError("wrong_step", f"{manifest['step']} of {manifest['of']} by {manifest['sampler']['name']}")


def _exactness(manifest: Mapping[str, Any], machine: Machine) -> str:
    """Once numerical, always numerical: the drift is in the latents."""
    same = (manifest["build"], manifest["gpu"], manifest["world_size"]) == (
        machine.build,
        machine.name,
        machine.world_size,
    )
    return "exact" if same and manifest["exactness"] == "exact" else "numerical"


def _own(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _own_all(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return _own(value)
    return [_own_all(one) for one in value] if isinstance(value, list) else value


def _stored(name: str, value: Memory | Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Plain values stay in the manifest; a tensor leaves its name there."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, list):
        return [_stored(f"{name}.{at}", one, tensors) for at, one in enumerate(value)]
    assert isinstance(value, PLAIN)
    return value


def _found(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, dict):
        return tensors[value["tensor"]]
    return [_found(one, tensors) for one in value] if isinstance(value, list) else value


def _stored_call(call: int, values: Embeddings, tensors: dict[str, torch.Tensor]) -> list[Any]:
    return [None if one is None else _stored(f"prompt.{call}.{at}", one, tensors) for at, one in enumerate(values)]


def _found_call(call: list[Any], tensors: Mapping[str, torch.Tensor]) -> Embeddings:
    return tuple(None if one is None else _found(one, tensors) for one in call)
