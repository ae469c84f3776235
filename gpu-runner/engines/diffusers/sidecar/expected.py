"""What a step says of the finished picture: the noise-free latents that the model expects, by the scheduler's own parametrization.

A draft shows these. The latents themselves still hold most of their noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def expected_after(scheduler: Any, step: Mapping[str, Any], result: Any) -> torch.Tensor | None:
    """To be called right after `scheduler.step`, with its arguments and its answer. None where we do not know how."""
    if len(result) > 1:
        return _tensor(result[1])
    kind = type(scheduler).__name__
    sample, output = step["sample"].float(), step["model_output"].float()
    if kind == "FlowMatchEulerDiscreteScheduler":
        return sample - scheduler.sigmas[scheduler.step_index - 1].to(sample) * output
    if hasattr(scheduler, "model_outputs"):
        return _tensor(scheduler.model_outputs[-1]) if _keeps_expectations(scheduler) else None
    if hasattr(scheduler, "alphas_cumprod"):
        share = scheduler.alphas_cumprod[int(step["timestep"])].to(sample)
        return _from_diffusion(scheduler.config.prediction_type, sample, output, share)
    return None


def _keeps_expectations(scheduler: Any) -> bool:
    """Multistep solvers of the data kind keep, as their history, what we look for."""
    config = scheduler.config
    return bool(config.get("predict_x0", False)) or str(config.get("algorithm_type", "")).endswith("dpmsolver++")


def _from_diffusion(kind: str, sample: torch.Tensor, output: torch.Tensor, share: torch.Tensor) -> torch.Tensor | None:
    if kind == "v_prediction":
        return share.sqrt() * sample - (1 - share).sqrt() * output
    if kind == "epsilon":
        return (sample - (1 - share).sqrt() * output) / share.sqrt()
    return output if kind == "sample" else None


def _tensor(value: Any) -> torch.Tensor | None:
    return value if isinstance(value, torch.Tensor) else None
