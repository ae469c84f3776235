"""The pipelines that we have tried, and the little in which they differ for us. Steps and decoding are theirs alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .wire import Picture


class UnknownPipeline(Exception):
    """Not one that has been shown to resume."""


@dataclass(frozen=True)
class Family:
    temporal: str
    """Attribute with the frames of one latent frame; the number of frames is one more than a multiple of it."""
    spatial: str
    """Attribute with the pixels of one latent cell."""
    patch: int
    """Cells of a patch of the transformer, where its configuration does not say."""
    multiple: int = 16
    """Pixels of which width and height must be multiples, whatever the cells are."""
    takes_fps: bool = False
    casts_latents: bool = False
    """The loop casts the latents after each step to the type that they began with."""


_SCALED = ("vae_scale_factor_temporal", "vae_scale_factor_spatial")

FAMILIES: dict[str, Family] = {
    "WanPipeline": Family(*_SCALED, patch=2),
    "HunyuanVideoPipeline": Family(*_SCALED, patch=2),
    "CogVideoXPipeline": Family(*_SCALED, patch=2, casts_latents=True),
    "LTXPipeline": Family(
        "vae_temporal_compression_ratio", "vae_spatial_compression_ratio", patch=1, multiple=32, takes_fps=True
    ),
}


@dataclass(frozen=True)
class Shape:
    """What the model renders: the asked size and number of frames, made up to what it can do. The rest is cut off."""

    width: int
    height: int
    frames: int


def family_of(pipeline: str) -> Family:
    family = FAMILIES.get(pipeline)
    if family is None:
        raise UnknownPipeline(f"'{pipeline}' is none of {', '.join(FAMILIES)}")
    return family


def shape_of(pipe: Any, family: Family, width: int, height: int, frames: int) -> Shape:
    cells = math.lcm(int(getattr(pipe, family.spatial)) * _patch_of(pipe, family), family.multiple)
    per_latent = int(getattr(pipe, family.temporal))
    return Shape(
        width=-(-width // cells) * cells,
        height=-(-height // cells) * cells,
        frames=-(-(frames - 1) // per_latent) * per_latent + 1,
    )


def arguments_of(family: Family, picture: Picture) -> dict[str, Any]:
    """The call's arguments that depend on the job, without its shape."""
    fps = {"frame_rate": picture.fps} if family.takes_fps else {}
    return {"prompt": picture.prompt, "negative_prompt": picture.negative_prompt, **fps}


def _patch_of(pipe: Any, family: Family) -> int:
    transformer = pipe.transformer if pipe.transformer is not None else pipe.transformer_2
    patch = transformer.config.get("patch_size", family.patch)
    return int(patch[1]) if isinstance(patch, (list, tuple)) else int(patch)
