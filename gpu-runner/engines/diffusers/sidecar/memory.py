"""What a scheduler remembers from step to step: whatever differs from one that was only told its timesteps.

Taken by comparison and not from a list of names, so a scheduler that keeps its history elsewhere in the next version of
diffusers is still saved whole. What cannot be saved (a type we do not know) is refused, never left out.
"""

from __future__ import annotations

from typing import Any

import torch

PLAIN = (bool, int, float, str, type(None))

Memory = dict[str, Any]
"""Attribute name to a plain value, a tensor, or a list of either."""


class UnsavableScheduler(Exception):
    """It keeps something that a checkpoint cannot hold."""


def baseline_of(scheduler: Any) -> Memory:
    """To be called before the first step: tensors are copied, because a scheduler may write into its own."""
    return {name: _copied(value) for name, value in _attributes(scheduler)}


def memory_of(scheduler: Any, baseline: Memory) -> Memory:
    changed: Memory = {}
    for name, value in _attributes(scheduler):
        if name in baseline and _same(value, baseline[name]):
            continue
        if not _is_savable(value):
            raise UnsavableScheduler(f"{type(scheduler).__name__}.{name} became a {type(value).__name__}")
        changed[name] = value
    return changed


def restore(scheduler: Any, memory: Memory, device: torch.device) -> None:
    for name, value in memory.items():
        setattr(scheduler, name, _moved(value, device))


def _attributes(scheduler: Any) -> list[tuple[str, Any]]:
    """`step` is our own wrapper; the configuration never changes."""
    return [(name, value) for name, value in vars(scheduler).items() if name not in ("step", "_internal_dict")]


def _is_savable(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, (torch.Tensor, *PLAIN)) for one in value)
    return isinstance(value, (torch.Tensor, *PLAIN))


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, torch.Tensor) or isinstance(other, torch.Tensor):
        both = isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor)
        return both and value.shape == other.shape and value.dtype == other.dtype and torch.equal(value, other)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(_same(a, b) for a, b in zip(value, other, strict=True))
    if isinstance(value, PLAIN):
        return type(value) is type(other) and value == other
    return value is other


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return [_copied(one) for one in value] if isinstance(value, list) else value


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    return [_moved(one, device) for one in value] if isinstance(value, list) else value
