"""A pipeline class with three answers of our own: whether to skip a step, what the prompt was encoded to, with which
latents to begin. Everything else is the pipeline's, unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .walk import Embeddings, Walk


def resumable(pipeline: type[Any]) -> type[Any]:
    """A subclass that is loaded, configured and called like `pipeline`."""

    class Resumable(pipeline):  # type: ignore[misc]
        walk: Walk | None = None

        @property
        def interrupt(self) -> bool:
            return self.walk is not None and self.walk.skips()

        def encode_prompt(self, *args: Any, **kwargs: Any) -> Embeddings:
            def encode() -> Embeddings:
                return tuple(super(Resumable, self).encode_prompt(*args, **kwargs))

            return encode() if self.walk is None else self.walk.encoded(encode)

        def prepare_latents(self, *args: Any, **kwargs: Any) -> Any:
            def prepare() -> Any:
                return super(Resumable, self).prepare_latents(*args, **kwargs)

            return prepare() if self.walk is None else self.walk.prepared(prepare)

    # The name is what diffusers looks up in a model's own index.
    Resumable.__name__ = pipeline.__name__
    return Resumable


@contextmanager
def walking(pipe: Any, walk: Walk, casts_latents: bool) -> Iterator[None]:
    """The pipeline goes `walk`'s way inside, and its own way afterwards, whatever happened."""
    own = pipe.scheduler
    pipe.walk = walk
    pipe.scheduler = walk.scheduler
    pipe.scheduler.step = walk.wrap(walk.scheduler.step, casts_latents)
    try:
        yield
    finally:
        pipe.scheduler = own
        pipe.walk = None
