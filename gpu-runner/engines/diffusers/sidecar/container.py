"""The safetensors container, written so that a file is whole or not there: temporary name, sync, rename, sync of the folder.

We write it ourselves, because the manifest in its header holds the hash of the tensors behind it; reading is left to the
`safetensors` package. The runner's side is `gpu-runner/checkpoint/safetensors.ts`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch

_DTYPES: dict[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8
_PART = ".part"


@dataclass(frozen=True)
class Entry:
    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Written:
    sha256: str
    bytes: int


def entries_of(tensors: Mapping[str, torch.Tensor]) -> list[Entry]:
    return [Entry(name, _DTYPES[one.dtype], tuple(one.shape)) for name, one in tensors.items()]


def hash_of(tensors: Iterable[torch.Tensor]) -> str:
    """Of the tensors' bytes, in their order."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(bytes_of(tensor))
    return digest.hexdigest()


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """Of a tensor in main memory; no copy, if it lies in one piece."""
    return memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def write_tensors(path: Path, metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> Written:
    digest = hashlib.sha256()
    size = 0
    pieces: list[bytes | memoryview] = [_header(metadata, tensors), *map(bytes_of, tensors.values())]

    def pour(file: BinaryIO) -> None:
        nonlocal size
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
            size += len(piece)

    write_whole(path, pour)
    return Written(digest.hexdigest(), size)


def write_whole(path: Path, pour: Callable[[BinaryIO], None]) -> None:
    """What was written so far is removed if `pour` fails."""
    temporary = path.with_name(path.name + _PART)
    try:
        with open(temporary, "wb") as file:
            pour(file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _header(metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    at = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
