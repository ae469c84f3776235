"""What a draft shows: of latents that were made by noising a picture, every scheduler's step tells that picture."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3] / "gpu-runner" / "engines" / "diffusers"))

import diffusers
import torch
from sidecar.expected import expected_after

STEPS = 6
SHAPE = (1, 4, 3, 4, 4)


class ExpectedTest(unittest.TestCase):
    def setUp(self) -> None:
        torch.manual_seed(7)
        self.picture, self.noise = torch.randn(SHAPE), torch.randn(SHAPE)

    def expected(self, scheduler: Any, sample: torch.Tensor, output: torch.Tensor, **more: Any) -> torch.Tensor | None:
        step = {"model_output": output, "timestep": scheduler.timesteps[0], "sample": sample, **more}
        result = scheduler.step(**step, return_dict=False)
        return expected_after(scheduler, step, result)

    def assert_is_the_picture(self, found: torch.Tensor | None) -> None:
        assert found is not None
        torch.testing.assert_close(found, self.picture, rtol=0, atol=1e-4)

    def test_flow_matching(self) -> None:
        kinds: list[tuple[str, dict[str, Any]]] = [
            ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
            ("UniPCMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}),
            ("DPMSolverMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}),
        ]
        for name, config in kinds:
            with self.subTest(scheduler=name):
                scheduler = getattr(diffusers, name)(**config)
                scheduler.set_timesteps(STEPS)
                sigma = scheduler.sigmas[0]
                sample = (1 - sigma) * self.picture + sigma * self.noise
                self.assert_is_the_picture(self.expected(scheduler, sample, self.noise - self.picture))

    def test_diffusion_by_its_velocity_or_its_noise(self) -> None:
        for prediction in ("v_prediction", "epsilon"):
            with self.subTest(prediction=prediction):
                scheduler = diffusers.CogVideoXDDIMScheduler(prediction_type=prediction, timestep_spacing="leading")
                scheduler.set_timesteps(STEPS)
                share = scheduler.alphas_cumprod[int(scheduler.timesteps[0])]
                sample = share.sqrt() * self.picture + (1 - share).sqrt() * self.noise
                velocity = share.sqrt() * self.noise - (1 - share).sqrt() * self.picture
                output = velocity if prediction == "v_prediction" else self.noise
                self.assert_is_the_picture(self.expected(scheduler, sample, output))

    def test_a_solver_that_tells_it_itself(self) -> None:
        scheduler = diffusers.CogVideoXDPMScheduler(prediction_type="v_prediction", timestep_spacing="leading")
        scheduler.set_timesteps(STEPS)
        share = scheduler.alphas_cumprod[int(scheduler.timesteps[0])]
        sample = share.sqrt() * self.picture + (1 - share).sqrt() * self.noise
        velocity = share.sqrt() * self.noise - (1 - share).sqrt() * self.picture
        more = {"old_pred_original_sample": None, "timestep_back": None}
        self.assert_is_the_picture(self.expected(scheduler, sample, velocity, **more))

    def test_one_that_we_do_not_know_tells_nothing(self) -> None:
        step = {"model_output": self.noise, "timestep": torch.tensor(1), "sample": self.noise}
        self.assertIsNone(expected_after(SimpleNamespace(), step, (self.noise,)))


if __name__ == "__main__":
    unittest.main()
