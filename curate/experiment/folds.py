"""Every sample judged by a model that has not learned from it: one for each fold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from curate.config import TrainOptions
from curate.errors import DamagedFile, NotEnoughData
from curate.experiment.jobs import Job, TrainContext
from curate.experiment.setup import open_context
from curate.experiment.study import COLUMNS, FILE, Arm, group_keys, grouped_folds
from curate.files import read_arrays, replacing
from curate.progress import Progress, silent
from curate.train.pixels import require_files
from curate.train.presets import FINE_TUNING, n_folds

SLOW = (
    "Fine-tuning on a CPU takes half a minute to two for each thousand images and epoch; it goes on where it is killed."
)

NOISE = 1e-3  # probability; sums in another order, as on CUDA, may teach as much more or less

Teacher = Callable[[pd.DataFrame], pd.DataFrame]  # `COLUMNS` of n samples → (n, C) probabilities of the classes

log = logging.getLogger(__name__)


def fine_tuned(
    samples: pd.DataFrame,
    folder: Path,
    *,
    options: TrainOptions,
    teacher: Teacher | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Fine-tune a network for each fold of the labelled samples and let it judge the samples that it has not seen.

    Each runs its whole schedule: stopping by the labels that it is to judge would let them choose the model.

    Parameters
    ----------
    samples : `COLUMNS`; a null label: judged by all models, learned by none; a group is in one fold
    folder : for checkpoints and what is finished; an interrupted call is gone on with
    teacher : says, by the samples of a training set alone, what each of them shows: the network learns that in place of
        the labels, of which some are wrong

    Returns
    -------
    `sample_id` and a column for each class, (N,) rows sorted by sample_id that sum to 1

    Raises
    ------
    NotEnoughData : fewer than two groups with labels, or fewer than two classes
    CurateError : an image is no longer there; the device has too little memory
    """
    pool = samples.loc[samples["label"].notna(), COLUMNS].sort_values("sample_id", ignore_index=True)
    images = samples[FILE].assign(is_learned=samples["label"].notna())
    require_files(images)
    options = replace(options, preset=FINE_TUNING.name)
    out_of_pool, count = images[~images["is_learned"]], n_folds(options, FINE_TUNING)
    jobs = fold_jobs(pool, out_of_pool, folder, count=count, seed=options.seed)
    classes = sorted(set(pool["label"]))
    if not jobs or len(classes) < 2:
        raise NotEnoughData(f"{len(pool)} labelled samples of {len(classes)} classes", "two groups and classes or more")
    jobs = [replace(job, flip_tta=True) for job in jobs]
    if teacher is not None:
        jobs = [_taught(job, teacher, classes) for job in jobs]
    n_train = round(len(pool) * (1 - 1 / len(jobs)))
    context = open_context(images, classes, folder, n_train=n_train, options=options)
    if not all(context.is_finished(job) for job in jobs):
        if context.device.type == "cpu":
            log.warning(SLOW)
        context.learner.prepare(progress)
    pred_probs = out_of_fold(context, jobs, "fine-tune", progress)
    context.learner.close()
    return pred_probs


def fold_jobs(pool: pd.DataFrame, out_of_pool: pd.DataFrame, folder: Path, *, count: int, seed: int) -> list[Job]:
    """A job for each of `count` folds of the pool, or of as many as it has groups; none where that is fewer than two.

    Parameters
    ----------
    pool : `COLUMNS`, sorted by sample_id, each row labelled
    outside : `FILE` of what no model learns from and each judges
    """
    count = min(count, len(np.unique(group_keys(pool))))
    if count < 2:
        return []
    folds = grouped_folds(pool, count, seed=seed)
    return [_fold_job(pool, folds == fold, out_of_pool, folder / str(fold), seed=seed) for fold in range(count)]


def _fold_job(pool: pd.DataFrame, held_out: np.ndarray, out_of_pool: pd.DataFrame, folder: Path, *, seed: int) -> Job:
    arm = Arm(f"fold-{folder.name}", pool[~held_out].reset_index(drop=True), pool.head(0))
    evaluated = pd.concat([pool[held_out], out_of_pool], ignore_index=True)[FILE]
    return Job(arm, evaluated, seed, folder, keep_model=False)


def _taught(job: Job, teacher: Teacher, classes: list[str]) -> Job:
    """The same job, learning from the teacher, unless the training set has too little to teach the teacher."""
    try:
        pred_probs = teacher(job.arm.train)
    except NotEnoughData:
        return job
    soft_targets = _as_before(
        pred_probs.reindex(columns=classes, fill_value=0).to_numpy(np.float32), job.folder / "soft_targets.npz"
    )
    return replace(job, arm=replace(job.arm, soft_targets=soft_targets))


def _as_before(soft_targets: np.ndarray, file: Path) -> np.ndarray:
    """What an earlier call kept in the file, where that is the same but for noise: its training is gone on with."""
    with suppress(DamagedFile):
        kept = read_arrays(file, do="curate ingest --finetune")["soft_targets"]
        if kept.shape == soft_targets.shape and np.allclose(kept, soft_targets, rtol=0, atol=NOISE):
            return kept
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, soft_targets=soft_targets)
    return soft_targets.copy()


def out_of_fold(
    context: TrainContext,
    jobs: Sequence[Job],
    description: str,
    progress: Progress,
    *,
    last_epoch: int | None = None,
) -> pd.DataFrame:
    """sample_id, and a column for each class: by the model that held the sample out; of no fold, the mean of all."""
    outcomes = context.run_all(jobs, description, progress, last_epoch=last_epoch)
    parts = [
        pd.DataFrame(outcome.probabilities, columns=context.classes).assign(sample_id=job.evaluated["sample_id"])
        for job, outcome in zip(jobs, outcomes, strict=True)
    ]
    if not parts:
        return pd.DataFrame(columns=["sample_id", *context.classes])
    return pd.concat(parts).groupby("sample_id", sort=True)[context.classes].mean().reset_index()
