"""Where tensors live, and in which number format."""

from __future__ import annotations

import torch

from curate.errors import ModelError


def choose_dtype(device: torch.device) -> torch.dtype:
    """Half precision where the hardware computes in it."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one. Raises ModelError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"no device '{name}' ({str(error).splitlines()[0]})", "auto, cpu, cuda or cuda:1") from error
    return device


def number_format(device: torch.device, *, amp: bool) -> torch.dtype:
    """bfloat16 on a CUDA device that has it, float16 on one that has not, else float32."""
    if device.type != "cuda" or not amp:
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
