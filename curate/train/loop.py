"""The training loop: epochs of a fixed number of steps, moving average, early stopping, and resuming."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import nn

from curate.errors import CurateError
from curate.files import replacing
from curate.machine.device import number_format
from curate.train.optim import make_optimizer, make_schedule
from curate.train.recipe import Recipe

Batch = tuple[torch.Tensor, torch.Tensor]  # inputs, targets: (n,) int64, or to learn (n, C) float32 probabilities
State = dict[str, torch.Tensor]
NO_VALIDATION = math.nan
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """What training ended with.

    Attributes
    ----------
    state : the moving average of the weights at the best epoch, on the CPU
    best_epoch : the last one; with `patience` that of the best validation accuracy, and of the lowest loss among its
        equals; from 1. (The loss alone would prefer the unsure models of early epochs.)
    history : one row per epoch: epoch, step, learning_rate, train_loss, val_loss, val_accuracy, seconds
    """

    state: State
    best_epoch: int
    history: list[dict[str, float]]


def fit(
    model: nn.Module,
    batches: Callable[[int], Iterator[Batch]],
    validation: Callable[[], Iterable[Batch]] | None,
    *,
    recipe: Recipe,
    device: torch.device,
    seed: int,
    last_epoch: int | None = None,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    advance: Callable[[int], None] = lambda steps: None,
) -> Fitted:
    """Train `model` in place and return its best moving average.

    Parameters
    ----------
    model : maps a batch of inputs to (n, C) logits
    batches : first epoch → endless batches from that epoch's first on
    validation : batches to watch, and with the recipe's `patience` to stop by; None: run the whole schedule
    last_epoch : stop after this epoch of the schedule, whatever validation says
    checkpoint : file to save the state to after each epoch, and to go on from if it is there and bears
        the same `fingerprint`
    advance : told of the steps done

    Notes
    -----
    The result repeats exactly on a CPU with the same seed and number of threads, resumed or not.
    """
    own_randomness = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with own_randomness, _memory_explained(recipe, device):
        training = _Training(model, recipe, device)
        if checkpoint is not None:
            training.restore(checkpoint, fingerprint)
        advance(training.step)
        stream = batches(training.epoch)
        while training.epoch < (last_epoch or recipe.epochs) and not training.is_exhausted():
            torch.manual_seed(_epoch_seed(seed, training.epoch))
            training.run_epoch(_counted(islice(stream, recipe.steps_per_epoch), advance), validation)
            if checkpoint is not None:
                training.save(checkpoint, fingerprint)
    chooses = recipe.patience is not None and validation is not None
    if not training.best_state or (training.best_epoch < training.epoch and not chooses):
        raise CurateError("training diverged: the loss is not a number", do="lower the learning rate")
    return Fitted(training.best_state, training.best_epoch, training.history)


@torch.inference_mode()
def predict(model: nn.Module, inputs: Iterable[torch.Tensor], *, device: torch.device, amp: bool) -> torch.Tensor:
    """(N, C) float32 probabilities on the CPU, in the order of the inputs."""
    model.eval().to(device)
    rows = []
    for batch in inputs:
        with _autocast(device, amp):
            logits = model(batch.to(device, non_blocking=True))
        rows.append(logits.float().softmax(1).cpu())
    return torch.cat(rows)


@contextmanager
def _memory_explained(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """A smaller batch would be another recipe, so it is the user's to choose."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise CurateError(
            f"{device} has too little memory for {recipe.batch_size} images of {recipe.image_size} px at once",
            do=f"--batch-size {max(2, recipe.batch_size // 2)}",
        ) from error


class _Training:
    """The state of one run between two epochs."""

    def __init__(self, model: nn.Module, recipe: Recipe, device: torch.device) -> None:
        self.model = model.to(device).to(memory_format=torch.channels_last)
        self.recipe, self.device = recipe, device
        self.ema = ModelEmaV3(self.model, decay=recipe.ema_decay, use_warmup=True)
        self.optimizer = make_optimizer(self.model, recipe)
        self.schedule = make_schedule(self.optimizer, recipe)
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        needs_scaling = number_format(device, amp=recipe.amp) is torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=needs_scaling)
        self.epoch = self.step = self.best_epoch = 0
        self.best_figures = (-1.0, -math.inf)  # validation accuracy, and the loss turned round
        self.best_state: State = {}
        self.history: list[dict[str, float]] = []

    def is_exhausted(self) -> bool:
        """True where validation has not got better for `patience` epochs after the warm-up."""
        if self.recipe.patience is None:
            return False
        warm = self.schedule.warmup_t // self.recipe.steps_per_epoch
        return self.epoch - max(self.best_epoch, warm) >= self.recipe.patience

    def run_epoch(self, batches: Iterable[Batch], validation: Callable[[], Iterable[Batch]] | None) -> None:
        started = time.perf_counter()
        train_loss = self._learn(batches)
        val_loss, val_accuracy = self._validate(validation()) if validation else (NO_VALIDATION, NO_VALIDATION)
        self.epoch += 1
        figures = (val_accuracy, -val_loss)
        if self.recipe.patience is None or validation is None:
            is_best = math.isfinite(train_loss)
        else:
            is_best = self._may_be_best(val_loss) and figures > self.best_figures
        if is_best:
            self.best_figures, self.best_epoch = figures, self.epoch
            self.best_state = {
                name: value.detach().cpu().clone() for name, value in self.ema.module.state_dict().items()
            }
        self.history.append(
            {
                "epoch": self.epoch,
                "step": self.step,
                "learning_rate": max(group["lr"] for group in self.optimizer.param_groups),
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "seconds": time.perf_counter() - started,
            }
        )

    def _may_be_best(self, val_loss: float) -> bool:
        """Not while the learning rate still rises (a few validation images could take it), nor when diverged."""
        return self.step >= self.schedule.warmup_t and math.isfinite(val_loss)

    def _learn(self, batches: Iterable[Batch]) -> float:
        self.model.train()
        total, count = torch.zeros((), device=self.device), 0
        for inputs, targets in batches:
            inputs, targets = (part.to(self.device, non_blocking=True) for part in (inputs, targets))
            with _autocast(self.device, self.recipe.amp):
                loss = self.loss(self.model(inputs).float(), targets)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad(set_to_none=True)
            self.step += 1
            self.schedule.step_update(self.step)
            self.ema.update(self.model, self.step)
            total += loss.detach()
            count += 1
        return float(total) / count

    @torch.inference_mode()
    def _validate(self, batches: Iterable[Batch]) -> tuple[float, float]:
        """Mean cross-entropy, without smoothing, and accuracy of the moving average."""
        loss = hits = torch.zeros((), device=self.device)
        count = 0
        for inputs, targets in batches:
            targets = targets.to(self.device, non_blocking=True)
            with _autocast(self.device, self.recipe.amp):
                logits = self.ema.module(inputs.to(self.device, non_blocking=True)).float()
            loss = loss + nn.functional.cross_entropy(logits, targets, reduction="sum")
            hits = hits + (logits.argmax(1) == targets).sum()
            count += len(targets)
        return float(loss) / count, float(hits) / count

    # ---- between processes -------------------------------------------------------------------

    _NUMBERS = ("epoch", "step", "best_epoch", "best_figures", "history")
    _PARTS = ("model", "ema", "optimizer", "scaler")

    def save(self, file: Path, fingerprint: str) -> None:
        state = {name: getattr(self, name) for name in (*self._NUMBERS, "best_state")}
        state |= {name: getattr(self, name).state_dict() for name in self._PARTS}
        with replacing(file) as temporary:
            torch.save({"fingerprint": fingerprint, **state}, temporary)

    def restore(self, file: Path, fingerprint: str) -> None:
        """Go on from `file`; an absent one, a damaged one, or one of another recipe changes nothing."""
        state = _checkpoint(file)
        if state.get("fingerprint") != fingerprint:
            return
        for name in (*self._NUMBERS, "best_state"):
            setattr(self, name, state[name])
        for name in self._PARTS:
            getattr(self, name).load_state_dict(state[name])


def _checkpoint(file: Path) -> dict[str, Any]:
    """What was saved; nothing where nothing was, or where its checksums tell that it is damaged."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return {}
    except Exception as error:  # torch says what it finds in broken bytes by any kind of error
        log.warning("%s is damaged, so that training begins anew: %s", file, str(error).splitlines()[0])
        return {}
    return state if isinstance(state, dict) else {}


def _counted(batches: Iterable[Batch], advance: Callable[[int], None]) -> Iterator[Batch]:
    """The same batches; `advance` hears of each when it has been learned from."""
    for batch in batches:
        yield batch
        advance(1)


def _autocast(device: torch.device, amp: bool) -> torch.autocast:
    dtype = number_format(device, amp=amp)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def _epoch_seed(seed: int, epoch: int) -> int:
    """A seed of its own for each epoch, so that resuming draws what an undisturbed run would."""
    return seed * 1_000_003 + epoch
