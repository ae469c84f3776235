"""One hash over all files of a model, so that a checkpoint is never gone on with by other weights.

Reading tens of gigabytes takes a while, so a file's hash is kept by its path, size and time of change. A blob of the hub's
cache is named by its hash already.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from .container import write_whole

_READERS_MAX = 4
_KEPT_MAX = 10_000
_BLOB = re.compile(r"^[0-9a-f]{64}$")
_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".json", ".txt", ".model"})


def weights_digest(folder: Path, kept: Path | None = None) -> str:
    """`kept` is the file with the hashes of last time; by default the user's cache."""
    kept = kept or _default_kept()
    known = _read(kept)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in _SUFFIXES)
    with ThreadPoolExecutor(_READERS_MAX) as pool:
        hashes = list(pool.map(lambda path: _hash(path, known), files))
    fresh = {_mark(path): digest for path, digest in zip(files, hashes, strict=True)}
    if any(mark not in known for mark in fresh):
        _write(kept, {**known, **fresh})
    listing = [(path.relative_to(folder).as_posix(), digest) for path, digest in zip(files, hashes, strict=True)]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _hash(path: Path, known: dict[str, str]) -> str:
    blob = path.resolve()
    if _BLOB.match(blob.name) and blob.parent.name == "blobs":
        return blob.name
    remembered = known.get(_mark(path))
    if remembered is not None:
        return remembered
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mark(path: Path) -> str:
    facts = path.stat()
    return f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}|{facts.st_ino}"


def _default_kept() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "callsheet" / "weights.json"


def _read(kept: Path) -> dict[str, str]:
    try:
        found = json.loads(kept.read_text())
    except (OSError, ValueError):
        return {}  # Not there yet, or of another version: everything is hashed anew.
    return found if isinstance(found, dict) else {}


def _write(kept: Path, known: dict[str, str]) -> None:
    newest = dict(list(known.items())[-_KEPT_MAX:])

    def pour(file: BinaryIO) -> None:
        file.write(json.dumps(newest).encode())

    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, pour)
    except OSError:
        pass  # A cache that cannot be kept costs time, nothing else.
