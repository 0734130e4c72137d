"""Did the data get better? Models of the version before, the version after and a control, on one test split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from curate.config import TrainOptions
from curate.evaluate.scores import NO_DIFFERENCE, compare, exchange_test, score
from curate.experiment.folds import fold_jobs, out_of_fold
from curate.experiment.jobs import Job, Outcome, TrainContext
from curate.experiment.record import require_tensorboard, write_run
from curate.experiment.result import ARMS, DIFFERENCES, Comparison
from curate.experiment.setup import open_context
from curate.experiment.study import ArmPlan, group_keys, plan_arms
from curate.progress import Progress, silent
from curate.train.pixels import require_files
from curate.train.presets import PRESETS, n_exchanges, n_folds

NO_CONTROL = {  # whether images were dropped → why there is no control
    False: "Nothing was dropped, so the control (random removal) equals before.",
    True: "So many images were dropped that a control (random removal) would have nothing to learn from: it stands for "
    "before.",
}


def retrain(
    before: pd.DataFrame,
    after: pd.DataFrame,
    run_folder: Path,
    *,
    options: TrainOptions | None = None,
    notes: Sequence[str] = (),
    progress: Progress = silent,
) -> Comparison:
    """Train on two versions and a control with the same budget and seeds, and judge all on one test split.

    Each arm takes the same number of optimiser steps under the same schedule, unless `patience` lets each stop by its
    validation images. The control is the version before without as many images, drawn at random, as the version
    after has dropped: it tells the gain of removing the right images from that of removing any.
    (Relabelling changes no number of images, so it has no part in the control.)

    Parameters
    ----------
    before, after : MANIFEST tables; the test split is that of `before`, untouched
    run_folder : for checkpoints, predictions, history.csv and, last, run.json. What an interrupted call
        left there is gone on with; a finished arm is not trained again.
    notes : what a reader of the figures should know besides what is seen here

    Raises
    ------
    NotEnoughData : no labelled test image, or fewer than two classes to learn
    CurateError : an image is no longer there; an option is unknown
    """
    options = options or TrainOptions()
    if options.tensorboard:
        require_tensorboard()
    plan = plan_arms(before, after, options=options)
    plan = replace(plan, notes=[*plan.notes, *notes])
    images = plan.images()
    require_files(images)
    n_train = len(plan.before.train)
    context = open_context(images, plan.classes, run_folder, n_train=n_train, options=options)
    arms = list(_arm_jobs(plan, run_folder, options))
    pool = pd.concat([plan.after.train, plan.after.val]).sort_values("sample_id", ignore_index=True)
    count = n_folds(options, PRESETS[context.recipe.preset])
    folds = fold_jobs(pool, plan.out_of_pool, run_folder / "folds", count=count, seed=options.seed)
    if not all(context.is_finished(job) for job in [*arms, *folds]):
        context.learner.prepare(progress)
    outcomes = context.run_all(arms, "train", progress)
    # where arms stop early, each fold learns for as many epochs as `after` needed: stopping by its own held-out part
    # would let the labels that it is to judge choose the model
    pred_probs = out_of_fold(context, folds, "out of fold", progress, last_epoch=_best_epoch(arms, outcomes))
    comparison = _judge(plan, context, list(zip(arms, outcomes, strict=True)), pred_probs, options)
    comparison = _exchanged(comparison, plan, context, run_folder, options, progress)
    write_run(run_folder, comparison, context, versions={"before": before, "after": after}, options=options)
    context.learner.close()
    return comparison


def _arm_jobs(plan: ArmPlan, run_folder: Path, options: TrainOptions) -> Iterator[Job]:
    """The control is left out where nothing was dropped, as it would be `before`, and where too little is left."""
    for seed in range(options.seed, options.seed + options.seeds):
        control = [plan.control(seed)] if plan.changes["dropped"] else []
        control = [arm for arm in control if arm.train["label"].nunique() > 1]
        for arm in [plan.before, plan.after, *control]:
            yield Job(arm, plan.test, seed, run_folder / "arms" / f"{arm.name}-{seed}")


def _exchanged(
    comparison: Comparison,
    plan: ArmPlan,
    context: TrainContext,
    run_folder: Path,
    options: TrainOptions,
    progress: Progress,
) -> Comparison:
    """Before a difference is called one: does it stand out of those that the same changes, dealt at random, make?"""
    count = n_exchanges(options, PRESETS[context.recipe.preset])
    if comparison.verdict == NO_DIFFERENCE or not count:
        return comparison
    pairs = [plan.exchanged(options.seed + number) for number in range(count)]
    if any(arm.train["label"].nunique() < 2 for pair in pairs for arm in pair):
        return comparison
    folder = run_folder / "exchanged"
    jobs = [
        Job(arm, plan.test, options.seed, folder / f"{number}-{arm.name}", keep_model=False)
        for number, pair in enumerate(pairs)
        for arm in pair
    ]
    outcomes = context.run_all(jobs, "chance", progress)
    labels, classes = plan.test["label"].to_numpy(), np.array(context.classes)
    accuracy = [float((classes[outcome.probabilities.argmax(1)] == labels).mean()) for outcome in outcomes]
    null = [second - first for first, second in zip(accuracy[::2], accuracy[1::2], strict=True)]
    name = "after - before"
    found = comparison.differences[name]
    judged = replace(found, exchange_p=exchange_test(found.accuracy, null))
    return replace(comparison, differences={**comparison.differences, name: judged})


def _best_epoch(jobs: list[Job], outcomes: list[Outcome]) -> int:
    return next(o.facts["best_epoch"] for job, o in zip(jobs, outcomes, strict=True) if job.arm.name == "after")


def _judge(
    plan: ArmPlan,
    context: TrainContext,
    runs: list[tuple[Job, Outcome]],
    pred_probs: pd.DataFrame,
    options: TrainOptions,
) -> Comparison:
    """Turn the outcomes of all arms and seeds into figures."""
    by_arm = {name: [(j, o) for j, o in runs if j.arm.name == name] for name in ARMS}
    notes = list(plan.notes)
    if not by_arm["control"]:
        by_arm["control"] = by_arm["before"]
        notes.append(NO_CONTROL[bool(plan.changes["dropped"])])
    classes, labels = context.classes, plan.test["label"].to_numpy()
    probabilities = {name: np.mean([o.probabilities for _, o in by_arm[name]], axis=0) for name in ARMS}
    predicted = {name: np.array(classes)[probabilities[name].argmax(1)] for name in ARMS}
    groups = group_keys(plan.test) if plan.test["group"].notna().any() else None
    return Comparison(
        preset=context.recipe.preset,
        classes=classes,
        scores={name: score(labels, predicted[name], classes) for name in ARMS},
        differences={
            f"{second} - {first}": compare(
                labels,
                predicted[first],
                predicted[second],
                classes,
                groups=groups,
                bootstraps=options.bootstraps,
                seed=options.seed,
            )
            for first, second in DIFFERENCES
        },
        arms={name: _arm_facts(by_arm[name], labels, classes) for name in ARMS},
        changes=plan.changes,
        predictions=_predictions(plan.test, probabilities, predicted, classes),
        pred_probs=pred_probs,
        history=pd.concat([o.history.assign(arm=j.arm.name, seed=j.seed) for j, o in runs], ignore_index=True),
        notes=notes,
    )


def _arm_facts(runs: list[tuple[Job, Outcome]], labels: np.ndarray, classes: list[str]) -> dict[str, object]:
    hits = [np.array(classes)[outcome.probabilities.argmax(1)] == labels for _, outcome in runs]
    return {
        "n_train": len(runs[0][0].arm.train),
        "n_val": len(runs[0][0].arm.val),
        "accuracies": [float(hit.mean()) for hit in hits],
        "best_epochs": [outcome.facts["best_epoch"] for _, outcome in runs],
        "steps": [outcome.facts["steps"] for _, outcome in runs],
        "seconds": [outcome.facts["seconds"] for _, outcome in runs],
    }


def _predictions(
    test: pd.DataFrame, probabilities: dict[str, np.ndarray], predicted: dict[str, np.ndarray], classes: list[str]
) -> pd.DataFrame:
    tables = []
    for name in ARMS:
        table = test[["sample_id", "label"]].assign(predicted=predicted[name])
        table.insert(0, "arm", name)
        columns = pd.DataFrame(probabilities[name], columns=[f"p_{c}" for c in classes])
        tables.append(pd.concat([table, columns], axis=1))
    return pd.concat(tables, ignore_index=True)
