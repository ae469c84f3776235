"""Tiny models with random weights: the real classes of diffusers and transformers, saved as any model is saved.

    python tiny_models.py FOLDER [NAME…]

writes one folder a model, and `models.json`, the model file that names them all. Nothing is fetched. The same name always
has the same weights; `wan-other` is `wan` with other ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLHunyuanVideo,
    AutoencoderKLLTXVideo,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

VOCABULARY = 260
SPECIAL = ("<pad>", "</s>", "<s>", "<unk>")


def byte_tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    """A token a byte, so any text can be read without a vocabulary from anywhere."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", bos_token="<s>", unk_token="<unk>", **options
    )


T5_SHAPE = {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 37, "num_layers": 2, "num_heads": 4}


def wan() -> Any:
    return WanPipeline(
        tokenizer=byte_tokenizer(),
        text_encoder=UMT5EncoderModel(UMT5Config(**T5_SHAPE)),
        transformer=wan_transformer(),
        vae=wan_vae(),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
        ),
    )


def wan22() -> Any:
    """Two experts: one for the noisy steps, one for the others."""
    pipe = wan()
    parts = {**pipe.components, "transformer_2": wan_transformer()}
    return WanPipeline(**parts, boundary_ratio=0.875)


def wan_transformer() -> Any:
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=32,
        freq_dim=256,
        ffn_dim=32,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=64,
    )


def wan_vae() -> Any:
    return AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )


def cogvideox() -> Any:
    return CogVideoXPipeline(
        tokenizer=byte_tokenizer(),
        text_encoder=T5EncoderModel(T5Config(**T5_SHAPE)),
        vae=AutoencoderKLCogVideoX(
            in_channels=3,
            out_channels=3,
            down_block_types=("CogVideoXDownBlock3D",) * 4,
            up_block_types=("CogVideoXUpBlock3D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            temporal_compression_ratio=4,
        ),
        transformer=CogVideoXTransformer3DModel(
            num_attention_heads=4,
            attention_head_dim=8,
            in_channels=4,
            out_channels=4,
            time_embed_dim=2,
            text_embed_dim=32,
            num_layers=1,
            sample_width=8,
            sample_height=8,
            sample_frames=9,
            patch_size=2,
            temporal_compression_ratio=4,
            max_text_seq_length=16,
        ),
        scheduler=CogVideoXDDIMScheduler(),
    )


def ltx() -> Any:
    """Its decoder is one that draws noise, so the random numbers must go on where they were."""
    return LTXPipeline(
        tokenizer=byte_tokenizer(),
        text_encoder=T5EncoderModel(T5Config(**T5_SHAPE)),
        vae=AutoencoderKLLTXVideo(
            in_channels=3,
            out_channels=3,
            latent_channels=8,
            block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            layers_per_block=(1, 1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1, 1),
            spatio_temporal_scaling=(True, True, False, False),
            decoder_spatio_temporal_scaling=(True, True, False, False),
            decoder_inject_noise=(False, False, False, False, False),
            upsample_residual=(False, False, False, False),
            upsample_factor=(1, 1, 1, 1),
            timestep_conditioning=True,
            patch_size=1,
            patch_size_t=1,
            encoder_causal=True,
            decoder_causal=False,
        ),
        transformer=LTXVideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            patch_size=1,
            patch_size_t=1,
            num_attention_heads=4,
            attention_head_dim=8,
            cross_attention_dim=32,
            num_layers=1,
            caption_channels=32,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def hunyuan() -> Any:
    return HunyuanVideoPipeline(
        tokenizer=byte_tokenizer(),
        text_encoder=LlamaModel(
            LlamaConfig(
                vocab_size=VOCABULARY,
                hidden_size=16,
                intermediate_size=37,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=512,
                pad_token_id=0,
            )
        ),
        tokenizer_2=byte_tokenizer(model_max_length=77),
        text_encoder_2=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=VOCABULARY,
                hidden_size=8,
                intermediate_size=37,
                projection_dim=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=77,
                bos_token_id=2,
                eos_token_id=1,
                pad_token_id=0,
            )
        ),
        transformer=HunyuanVideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=10,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            patch_size=1,
            patch_size_t=1,
            guidance_embeds=True,
            text_embed_dim=16,
            pooled_projection_dim=8,
            rope_axes_dim=(2, 4, 4),
        ),
        vae=AutoencoderKLHunyuanVideo(
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            down_block_types=("HunyuanVideoDownBlock3D",) * 4,
            up_block_types=("HunyuanVideoUpBlock3D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            layers_per_block=1,
            act_fn="silu",
            norm_num_groups=4,
            scaling_factor=0.476986,
            spatial_compression_ratio=8,
            temporal_compression_ratio=4,
            mid_block_add_attention=True,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    )


Entry = dict[str, Any]

UNIPC_FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}

MODELS: dict[str, tuple[Callable[[], Any], int, Entry]] = {
    "wan": (wan, 1, {"arguments": {"max_sequence_length": 16}}),
    "wan-other": (wan, 2, {"arguments": {"max_sequence_length": 16}}),
    "wan22": (wan22, 3, {"arguments": {"max_sequence_length": 16, "guidance_scale_2": 3.0}}),
    "cogvideox": (cogvideox, 4, {"arguments": {"max_sequence_length": 16}}),
    "ltx": (ltx, 5, {"arguments": {"max_sequence_length": 16, "decode_timestep": 0.05, "decode_noise_scale": 0.025}}),
    "hunyuan": (hunyuan, 6, {"arguments": {"max_sequence_length": 16}}),
}

SCHEDULERS: dict[str, tuple[str, Entry]] = {
    "wan-euler": ("wan", {"class": "FlowMatchEulerDiscreteScheduler", "config": {"shift": 3.0}}),
    "wan-dpm": (
        "wan",
        {"class": "DPMSolverMultistepScheduler", "config": {**UNIPC_FLOW, "algorithm_type": "dpmsolver++"}},
    ),
    "cogvideox-dpm": ("cogvideox", {"class": "CogVideoXDPMScheduler"}),
}
"""The same weights, by another scheduler."""


def build(folder: Path, names: list[str]) -> None:
    entries: dict[str, Entry] = {}
    for name in names:
        make, seed, entry = MODELS[name]
        torch.manual_seed(seed)
        pipe = make()
        pipe.save_pretrained(folder / name)
        entries[name] = {"pipeline": type(pipe).__name__, "path": str(folder / name), "dtype": "float32", **entry}
    for name, (base, scheduler) in SCHEDULERS.items():
        if base in entries:
            entries[name] = {**entries[base], "scheduler": scheduler}
    for name in ("cogvideox-dpm", "hunyuan"):
        if name in entries:
            entries[f"{name}-bf16"] = {**entries[name], "dtype": "bfloat16"}
    (folder / "models.json").write_text(json.dumps(entries, indent=2))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    build(target, sys.argv[2:] or list(MODELS))
