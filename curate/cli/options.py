"""Options that several commands share, and the option dataclasses that they fill."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from curate.config import EmbedOptions, FindOptions, PolicyOptions, SplitOptions, TrainOptions
from curate.settings import with_settings

DEFAULT_WORKSPACE = "curate-workspace"
Command = Callable[..., None]


def with_workspace(command: Command) -> Command:
    return click.option(
        "-w",
        "--workspace",
        "root",
        type=click.Path(path_type=Path),
        envvar="CURATE_WORKSPACE",
        default=DEFAULT_WORKSPACE,
        show_default=True,
        help="Folder of all tables; also from CURATE_WORKSPACE.",
    )(command)


def with_json(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)


def with_options(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def gathered(
    into: str, kind: Callable[..., Any], *options: Callable[[Command], Command]
) -> Callable[[Command], Command]:
    """Hand the values of `options` to the command as one argument `into`, made by `kind`."""

    names = [parameter.name for parameter in with_options(*options)(lambda: None).__click_params__]  # type: ignore[attr-defined]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_gathered(**values: Any) -> None:
            command(**{into: kind(**{name: values.pop(name) for name in names})}, **values)

        return with_options(*options)(with_gathered)

    return decorate


embed_options = gathered(
    "embedding",
    EmbedOptions,
    click.option("--model", default=EmbedOptions.model, show_default=True, help="Any timm model."),
    click.option("--image-size", type=click.IntRange(32, 1024), help="Pixels; default: by the size of the images."),
    click.option("--batch-size", type=click.IntRange(1), default=EmbedOptions.batch_size, show_default=True),
    click.option("--device", default=EmbedOptions.device, show_default=True, help="auto, cpu, cuda, cuda:1 …"),
    click.option(
        "--backend",
        type=click.Choice(["auto", "torch", "openvino"]),
        default=EmbedOptions.backend,
        show_default=True,
        help="What runs the network; auto: OpenVINO on a CPU, where it is installed, else torch.",
    ),
    click.option(
        "--workers", type=click.IntRange(0), default=0, help="Files to look at in parallel; default: one per core."
    ),
)


def _splitting(fractions: tuple[float, float, float] | None, split_seed: int | None) -> SplitOptions | None:
    if fractions is None and split_seed is None:
        return None
    options = SplitOptions(*fractions) if fractions else SplitOptions()
    return options if split_seed is None else replace(options, seed=split_seed)


split_options = gathered(
    "splitting",
    _splitting,
    click.option(
        "--split",
        "fractions",
        type=(float, float, float),
        help="Shares of train, val and test where the source gives no split; default: as before, at first "
        f"{SplitOptions.train:g} {SplitOptions.val:g} {SplitOptions.test:g}. Others divide all samples anew.",
    ),
    click.option("--split-seed", type=int, help=f"Default: as before, at first {SplitOptions.seed}."),
)


def _one_of(predictions: str, finetune: bool) -> str:
    if finetune and predictions != FindOptions.predictions:
        raise click.UsageError(f"--finetune and --predictions {predictions}: give one of them")
    return "finetune" if finetune else predictions


find_options = gathered(
    "finding",
    lambda predictions, finetune, **values: FindOptions(predictions=_one_of(predictions, finetune), **values),
    click.option(
        "--predictions",
        type=click.Choice(["probe", "trainer"]),
        default=FindOptions.predictions,
        show_default=True,
        help="Whose out-of-sample predictions judge the labels; trainer: those of the last curate retrain.",
    ),
    click.option("--finetune", is_flag=True, help="Train networks to judge the labels in its place; slow on a CPU."),
    click.option("--finetune-epochs", type=click.IntRange(1), default=FindOptions.finetune_epochs, show_default=True),
    click.option(
        "--imbalance",
        type=click.FloatRange(0, 1),
        default=FindOptions.imbalance,
        show_default=True,
        help="Classes that lack more than this share of the largest class's count are flagged.",
    ),
    click.option("--seed", type=int, default=FindOptions.seed, show_default=True, help="Of the probe."),
)


def _own(
    embeddings: Path | None, pred_probs: Path | None, ids: Path | None, classes: Path | None
) -> Any:  # curate.verbs.own.Own, whose import takes a while
    from curate.verbs.own import as_own

    return as_own(embeddings, pred_probs, ids, classes)


own_options = gathered(
    "own",
    _own,
    click.option(
        "--embeddings",
        type=click.Path(path_type=Path),
        help="Embeddings of your own, used from now on in place of curate's: .npy with --ids, or CSV or Parquet "
        "with a column sample_id.",
    ),
    click.option(
        "--pred-probs",
        type=click.Path(path_type=Path),
        help="Out-of-sample class probabilities of your own model, used from now on to judge the labels: CSV or "
        "Parquet with sample_id and a column per class, or .npy with --ids.",
    ),
    click.option("--ids", type=click.Path(path_type=Path), help="sample_id or path of each row of a .npy, one a line."),
    click.option(
        "--classes",
        type=click.Path(path_type=Path),
        help="Class of each column of a .npy, one a line; default: the labels, sorted.",
    ),
)


policy_options = gathered(
    "policy",
    PolicyOptions,
    click.option("--relabel-above", type=click.FloatRange(0, 1), help="Also relabel undecided above this P(wrong)."),
    click.option("--drop-duplicates", is_flag=True, help="Also drop undecided exact duplicates, but one of a group."),
    click.option("--include-test", is_flag=True, help="Allow changes to the test split."),
    click.option(
        "--class-cap",
        type=click.FloatRange(0, 1),
        default=PolicyOptions.class_cap,
        show_default=True,
        help="Largest share of a class that may be dropped.",
    ),
)


WITHOUT_FLAG = (
    *("augmentation", "views", "weight_decay", "warmup", "label_smoothing", "ema_decay"),
    *("validation", "bootstraps", "exchanges", "amp", "workers"),
)


def _training(settings: tuple[str, ...], **values: Any) -> TrainOptions:
    return with_settings(TrainOptions(**values), settings)


train_options = gathered(
    "training",
    _training,
    click.option("--preset", type=click.Choice(["auto", "quick", "full"]), default="auto", show_default=True),
    click.option("--model", default=TrainOptions.model, show_default=True, help="Any timm model."),
    click.option("--image-size", type=click.IntRange(32, 1024), help="Pixels; default: by the size of the images."),
    click.option("--epochs", type=click.IntRange(1), help="Default: as the preset says."),
    click.option("--batch-size", type=click.IntRange(1)),
    click.option("--learning-rate", type=click.FloatRange(0, min_open=True)),
    click.option(
        "--patience",
        type=click.IntRange(1),
        help="Stop an arm after so many epochs without a better validation accuracy. Default: none stops.",
    ),
    click.option("--folds", type=click.IntRange(0, 50), help="Of the out-of-fold predictions; 0: none."),
    click.option("--seed", type=int, default=TrainOptions.seed, show_default=True),
    click.option(
        "--seeds", type=click.IntRange(1), default=TrainOptions.seeds, show_default=True, help="Runs per arm."
    ),
    click.option("--device", default=TrainOptions.device, show_default=True, help="auto, cpu, cuda, cuda:1 …"),
    click.option("--tensorboard", is_flag=True, help="Also write TensorBoard events."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help=f"Any other part of the recipe; may repeat. One of {', '.join(WITHOUT_FLAG)}.",
    ),
)
