"""One model from data to files: trained, judged and kept; a finished one is read back, not trained again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from curate.errors import DamagedFile
from curate.experiment.study import Arm
from curate.files import digest_of, sealed, write_atomically, write_csv, write_parquet
from curate.machine.threads import torch_threads
from curate.progress import Advance, Progress
from curate.train.checkpoint import FACTS, WEIGHTS, read_arm, save_weights
from curate.train.learner import Learner
from curate.train.loop import Batch, Fitted, fit, predict
from curate.train.model import FlipTTA
from curate.train.recipe import Recipe
from curate.version import __version__

TABLES = ("probabilities.parquet", "history.csv")  # of an arm


@dataclass(frozen=True)
class Job:
    """One model to train.

    Attributes
    ----------
    judged : `data.FILE` of the samples to predict, none of which the model learns from
    keep_model : write the weights too
    both_ways : judge each picture together with its mirror image, where the model learned from both; full only
    """

    arm: Arm
    evaluated: pd.DataFrame
    seed: int
    folder: Path
    keep_model: bool = True
    flip_tta: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a job left.

    Attributes
    ----------
    probabilities : (N, C) float32 of the judged samples, in their order
    history : a row per epoch, as `loop.Fitted.history`
    facts : what stands in arm.json: best_epoch, steps, seconds …
    """

    probabilities: np.ndarray
    history: pd.DataFrame
    facts: dict[str, Any]


@dataclass(frozen=True)
class TrainContext:
    """What the jobs of a run share."""

    recipe: Recipe
    classes: list[str]
    learner: Learner
    device: torch.device

    def fingerprint(self, job: Job) -> str:
        """Changes whenever the model that the job makes would."""
        hasher = hashlib.blake2b(digest_size=16)
        hasher.update(json.dumps([__version__, asdict(self.recipe), self.classes, job.seed, job.flip_tta]).encode())
        for table in (job.arm.train, job.arm.val, job.evaluated):
            columns = [column for column in ("sample_id", "sha256", "label") if column in table]
            hasher.update(table[columns].to_json(orient="values").encode())
        if job.arm.soft_targets is not None:
            hasher.update(job.arm.soft_targets.tobytes())
        return hasher.hexdigest()

    def is_finished(self, job: Job) -> bool:
        """True where `run` would only read."""
        return _facts(job.folder).get("fingerprint") == self.fingerprint(job)

    def run(self, job: Job, *, advance: Advance, last_epoch: int | None = None) -> Outcome:
        """Train and judge one model, or read what an earlier call left. Files are in place when it returns."""
        budget = (last_epoch or self.recipe.epochs) * self.recipe.steps_per_epoch
        if self.is_finished(job):
            advance(budget)
            return _read(job.folder, self.classes)
        started = time.perf_counter()
        checkpoint = job.folder / "last.pt" if self.learner.resumable else None
        with torch_threads(self.learner.threads):
            model, fitted = self._fit(job, last_epoch, checkpoint, advance)
        advance(budget - int(fitted.history[-1]["step"]))
        model.load_state_dict(fitted.state)
        judge = FlipTTA(model) if job.flip_tta and self.recipe.augmentation == "standard" else model
        probabilities = predict(
            judge, self.learner.eval_batches(job.evaluated), device=self.device, amp=self.recipe.amp
        )
        facts = {
            "fingerprint": self.fingerprint(job),
            "arm": job.arm.name,
            "seed": job.seed,
            "n_train": len(job.arm.train),
            "n_val": len(job.arm.val),
            "best_epoch": fitted.best_epoch,
            "steps": int(fitted.history[-1]["step"]),
            "seconds": round(time.perf_counter() - started, 3),
            "recipe": asdict(self.recipe),
            "classes": self.classes,
        }
        outcome = Outcome(probabilities.numpy(), pd.DataFrame(fitted.history), facts)
        if job.keep_model:
            save_weights(job.folder / WEIGHTS, self.learner.weights(fitted.state))
        _write(job, outcome, self.classes)
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
        return outcome

    def run_all(
        self, jobs: Sequence[Job], description: str, progress: Progress, *, last_epoch: int | None = None
    ) -> list[Outcome]:
        """`run` each, one after the other, behind one bar."""
        steps = (last_epoch or self.recipe.epochs) * self.recipe.steps_per_epoch
        with progress(description, steps * len(jobs), "steps") as advance:
            return [self.run(job, advance=advance, last_epoch=last_epoch) for job in jobs]

    def _fit(
        self, job: Job, last_epoch: int | None, checkpoint: Path | None, advance: Advance
    ) -> tuple[nn.Module, Fitted]:
        index = pd.Index(self.classes)
        targets = {part: index.get_indexer(pd.Index(getattr(job.arm, part)["label"])) for part in ("train", "val")}
        soft_targets = targets["train"] if job.arm.soft_targets is None else job.arm.soft_targets
        model = self.learner.model(job.arm.train, seed=job.seed)

        def validation() -> Iterator[Batch]:
            return _with_targets(self.learner.eval_batches(job.arm.val), torch.from_numpy(targets["val"]))

        fitted = fit(
            model,
            self.learner.train_batches(job.arm.train, soft_targets, seed=job.seed),
            validation if len(job.arm.val) else None,
            recipe=self.recipe,
            device=self.device,
            seed=job.seed,
            last_epoch=last_epoch,
            checkpoint=checkpoint,
            fingerprint=self.fingerprint(job),
            advance=advance,
        )
        return model, fitted


def _with_targets(inputs: Iterable[torch.Tensor], targets: torch.Tensor) -> Iterator[Batch]:
    start = 0
    for batch in inputs:
        yield batch, targets[start : start + len(batch)]
        start += len(batch)


def _facts(folder: Path) -> dict[str, Any]:
    """arm.json where the arm is finished, and its tables are what was written; else nothing."""
    with suppress(DamagedFile):
        facts = read_arm(folder)
        return facts if "digests" in facts else {}  # an earlier curate's can't be told from damaged ones
    return {}


def _write(job: Job, outcome: Outcome, classes: list[str]) -> None:
    """arm.json comes last and means done."""
    table = pd.DataFrame(outcome.probabilities, columns=classes)
    write_parquet(job.folder / "probabilities.parquet", table)
    write_csv(job.folder / "history.csv", outcome.history)
    files = [job.folder / name for name in (*TABLES, *([WEIGHTS] if job.keep_model else []))]
    facts = {**outcome.facts, "digests": {file.name: digest_of(file) for file in files}}
    write_atomically(job.folder / FACTS, json.dumps(sealed(facts), indent=1).encode())


def _read(folder: Path, classes: list[str]) -> Outcome:
    table = pd.read_parquet(folder / "probabilities.parquet")
    return Outcome(table[classes].to_numpy(dtype=np.float32), pd.read_csv(folder / "history.csv"), _facts(folder))
