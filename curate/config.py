"""The options of each stage. A default lives here once; the CLI and the library both read it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from curate.errors import WrongUsage


def limited(default: Any, least: float, most: float = float("inf")) -> Any:
    """A field whose value, where it is not None, lies in [least, most]."""
    return field(default=default, metadata={"limits": (least, most)})


def check_limits(options: Any) -> None:
    """Raises WrongUsage for the first field that has limits and lies outside of them."""
    for item in fields(options):
        value = getattr(options, item.name)
        least, most = item.metadata.get("limits", (None, None))
        if value is not None and least is not None and not least <= value <= most:
            upper = "" if most == float("inf") else f" and at most {most:g}"
            raise WrongUsage(f"{item.name} is {value}", f"at least {least:g}{upper}")


@dataclass(frozen=True)
class EmbedOptions:
    """How pixels become numbers."""

    model: str = "tf_efficientnet_lite0"  # any timm model; this one's weights come from a package
    image_size: int | None = None  # pixels; None: chosen from the sizes of the images
    batch_size: int = 64  # images per call of the network; a CPU takes fewer, as fast and in less memory
    device: str = "auto"  # auto, cpu, cuda, cuda:1 …
    backend: str = "auto"  # torch, openvino (CPU only), or the faster of those that are installed
    workers: int = 0  # threads or processes that look at files; 0: one per core
    shard_size: int = 2048  # images per shard: the unit of resume
    max_pixels: int = 178_956_970  # larger images are refused as decompression bombs (Pillow's own limit)


@dataclass(frozen=True)
class SplitOptions:
    """How samples are divided where the source gives no split."""

    train: float = 0.70
    val: float = 0.15
    test: float = 0.15
    seed: int = 0


@dataclass(frozen=True)
class AnnotationOptions:
    """When a third person is called for, and how intervals are drawn."""

    conflict_limit: float = 0.05  # above this conflict rate the arbitration queue is written
    bootstraps: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class FindOptions:
    """What the finders look for; thresholds of the default flags are in each finder's file."""

    neighbors: int = 20  # kept per sample
    imbalance: float = 0.30  # classes whose counts differ by more than this share are named
    predictions: str = "probe"  # probe, in seconds; finetune: networks trained for it; trainer: those of `retrain`
    finetune_epochs: int = 6  # of each of the networks trained for it
    seed: int = 0


@dataclass(frozen=True)
class PolicyOptions:
    """How flags and decisions become actions."""

    relabel_above: float | None = None  # P(wrong label) above which an undecided sample is relabelled
    drop_duplicates: bool = False  # drop undecided exact duplicates but one
    include_test: bool = False  # allow changes to the test split
    class_cap: float = 0.20  # largest share of a class that may be dropped


@dataclass(frozen=True)
class TrainOptions:
    """The training recipe. None means: as the preset says (`curate.train.presets`).

    Raises
    ------
    WrongUsage : a number is outside its limits
    """

    preset: str = "auto"  # quick: a head on frozen features; full: all layers; auto: full on CUDA, else quick
    model: str = "tf_efficientnet_lite0"  # any timm model
    image_size: int | None = None  # pixels; None: chosen from the sizes of the images
    augmentation: str = "standard"  # none, light (crop, light), standard (also mirrored and colour)
    views: int | None = limited(None, 0)  # augmented looks at each training image; quick only
    epochs: int | None = limited(None, 1)
    batch_size: int | None = limited(None, 1)
    learning_rate: float | None = limited(None, 1e-12)  # of AdamW, at the top of the schedule, for this batch size
    weight_decay: float | None = limited(None, 0)
    warmup: float = limited(0.1, 0, 1)  # share of the steps
    label_smoothing: float = limited(0.1, 0, 1)
    ema_decay: float = limited(0.99, 0, 1)  # of the weights' moving average, per step
    patience: int | None = limited(None, 1)  # epochs without a better validation accuracy; None: no stop
    validation: float = limited(0.1, 0, 0.9)  # share of the training images to stop by, where there is no val split
    folds: int | None = limited(None, 0, 50)  # of the out-of-fold predictions; 0: make none
    bootstraps: int = limited(2000, 100)
    exchanges: int | None = limited(None, 0, 100)  # pairs of models that learn the changes dealt at random; 0: none
    seed: int = 0
    seeds: int = limited(1, 1)  # runs per arm; their probabilities are averaged
    device: str = "auto"
    amp: bool = True  # half precision on CUDA
    workers: int | None = limited(None, 0)  # processes that decode (full) or threads (quick); None: one per core
    tensorboard: bool = False  # also write TensorBoard events; needs the package

    def __post_init__(self) -> None:
        check_limits(self)
