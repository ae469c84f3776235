"""Models that were put aside: their weights stay in main memory, so that asking for one again reads no disk.

What is kept never takes more than the limit. Whoever was not used for longest goes first; a model that alone is larger than the
limit is not kept, and makes nobody go.
"""

from __future__ import annotations

import gc
from itertools import chain
from typing import Any

import torch

from .loading import LoadedModel, to_memory
from .wire import Model


class Shelf:
    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        # Least recently used first. A list, because models are compared whole and hold what has no hash.
        self._kept: list[tuple[LoadedModel, int]] = []

    def used_bytes(self) -> int:
        return sum(size_bytes for _, size_bytes in self._kept)

    def put(self, loaded: LoadedModel) -> None:
        """Out of the device's memory and onto the shelf, if it fits there. If it is not kept, it is the caller's to let go."""
        size_bytes = bytes_of(loaded.pipe)
        if size_bytes > self._limit_bytes:
            return
        # Before the move: both at once would be more than the operator allows.
        self._make_room(size_bytes)
        to_memory(loaded)
        self._kept.append((loaded, size_bytes))

    def take(self, model: Model) -> LoadedModel | None:
        """Still in main memory, and no longer the shelf's."""
        for at, (loaded, _) in enumerate(self._kept):
            if loaded.model == model:
                del self._kept[at]
                return loaded
        return None

    def clear(self) -> None:
        self._kept.clear()

    def _make_room(self, size_bytes: int) -> None:
        room_bytes = self._limit_bytes - size_bytes
        if self.used_bytes() <= room_bytes:
            return
        while self.used_bytes() > room_bytes:
            del self._kept[0]
        gc.collect()


def bytes_of(pipe: Any) -> int:
    """What the weights of all parts hold in memory. Parts may share tensors, and tensors their storage: each counts once."""
    held: dict[int, int] = {}
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            for tensor in chain(part.parameters(), part.buffers()):
                storage = tensor.untyped_storage()
                held[storage.data_ptr()] = storage.nbytes()
    return sum(held.values())
