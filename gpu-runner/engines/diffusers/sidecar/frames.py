"""Decoded frames to a file of raw RGB, cut to what was asked for. The runner encodes from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .container import write_whole
from .wire import Picture


def write_frames(path: Path, video: Any, picture: Picture) -> None:
    """`video` is frames × height × width × 3 in 0 … 1; a larger picture is cut around its middle, a longer one at its end."""
    frames, height, width, _ = video.shape
    top, left = (height - picture.height) // 2, (width - picture.width) // 2
    if frames < picture.frames or top < 0 or left < 0:
        raise ValueError(f"{frames} frames of {width}x{height} were decoded, which is less than was asked for")

    def pour(file: BinaryIO) -> None:
        for frame in video[: picture.frames]:
            cut = frame[top : top + picture.height, left : left + picture.width]
            file.write(np.ascontiguousarray(np.rint(np.clip(cut, 0.0, 1.0) * 255.0).astype(np.uint8)))

    write_whole(path, pour)
