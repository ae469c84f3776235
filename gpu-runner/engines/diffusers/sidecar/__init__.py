"""The diffusers engine's process: one job at a time, JSON lines on stdin and stdout, tensors only in files.

`wire.py` says what is spoken, `server.py` who speaks it, `render.py` is one job from prompt to frames.
"""

PROTOCOL = 2
"""Raised whenever a message changes its meaning; the runner refuses another one."""

BUILD = "sidecar-1"
"""Raised whenever the same job would give other latents, with the same libraries."""
