"""Optimiser, learning-rate schedule and number format: timm's and torch's own parts, set from the recipe."""

from __future__ import annotations

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import nn

from curate.train.recipe import Recipe

START = 0.01  # first and last learning rate, as a share of the highest


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019). Biases and norms are not decayed."""
    return create_optimizer_v2(model, opt="adamw", lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe) -> CosineLRScheduler:
    """Linear warm-up, then half a cosine down (Loshchilov and Hutter 2017), counted in steps."""
    steps = recipe.epochs * recipe.steps_per_epoch
    warm = round(recipe.warmup * steps)
    return CosineLRScheduler(
        optimizer,
        t_initial=max(2, steps - warm),
        lr_min=START * recipe.learning_rate,
        warmup_t=warm,
        warmup_lr_init=START * recipe.learning_rate,
        warmup_prefix=True,
        t_in_epochs=False,
    )
