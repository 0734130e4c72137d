"""The library: arrays and paths in, tables out. Everything is checked at the door (`curate.checks`).

    import curate
    found = curate.find_label_errors(embeddings, labels)
    found[found["is_label_issue"]].sort_values("label_score")

Scores are in [0, 1], lower is worse, and `is_<issue>_issue` is their default cut. Nothing is written to disk; what is
kept, resumed and reviewed is a `Dataset` (`curate.open`). Wrong input raises InputError, which is a ValueError too.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import curate.checks as checks
from curate.config import EmbedOptions, FindOptions, SplitOptions
from curate.dataset import Dataset
from curate.errors import InputError
from curate.progress import Progress, bar, silent

if TYPE_CHECKING:
    from curate.evaluate.scores import Difference
    from curate.find.labels.probe import Prediction
    from curate.find.neighbors import Neighbors
    from curate.ingest.annotators import Agreement

__all__ = [
    "Duplicates",
    "ImageEmbeddings",
    "agreement",
    "compare_models",
    "consensus",
    "embed_images",
    "find_duplicates",
    "find_label_errors",
    "find_outliers",
    "find_quality_issues",
    "open",
    "split",
]

NEIGHBORS = FindOptions.neighbors


@dataclass(frozen=True)
class ImageEmbeddings:
    """Images as numbers; N files, of which n can be read.

    Attributes
    ----------
    embeddings : (n, d) float16, L2-normalised, of the readable files in their order
    thumbs : (n, 32, 32, 3) uint8, RGB
    scan : table SCAN, (N,) rows: hash, size, measurements; `status` and `error` say why a file can't be read
    sources : table SOURCES, (N,) rows: sample_id, path; label and split where a folder has them
    is_readable : (N,) bool; `labels[found.is_readable]` are those of the embeddings
    """

    embeddings: np.ndarray
    thumbs: np.ndarray
    scan: pd.DataFrame
    sources: pd.DataFrame

    @property
    def is_readable(self) -> np.ndarray:
        return self.scan["status"].eq("ok").to_numpy()

    @property
    def sample_ids(self) -> list[str]:
        """(n,) ids of the embeddings."""
        return self.scan.loc[self.is_readable, "sample_id"].tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The embeddings, where an array is wanted: `find_outliers(embed_images(paths))`."""
        return np.array(self.embeddings, dtype=dtype)

    def __repr__(self) -> str:
        n, d = self.embeddings.shape
        return f"ImageEmbeddings({n:,} of {len(self.scan):,} images, {d} numbers each)"


@dataclass(frozen=True)
class Duplicates:
    """What shows the same picture.

    Attributes
    ----------
    pairs : table PAIRS, most similar first: sample_id_a, sample_id_b, similarity, agreement, kind (exact or near),
        between (the splits of the two), cosine; candidates too, so that a threshold can be moved
    leaks : those of `flagged` whose two pictures are in different splits
    groups : (N,) int64, one per path: what splits and folds may not part; a path without duplicates is alone
    threshold : agreement from which a near pair counts as the same picture
    """

    pairs: pd.DataFrame
    leaks: pd.DataFrame
    groups: np.ndarray
    threshold: float

    @property
    def flagged(self) -> pd.DataFrame:
        """The pairs that count as the same picture."""
        from curate.find.duplicates.near import flagged

        return flagged(self.pairs, self.threshold)

    def __repr__(self) -> str:
        return f"Duplicates({len(self.flagged):,} pairs, {len(self.leaks):,} of them across splits)"


# ---- pictures --------------------------------------------------------------------------------------


def embed_images(
    paths: Any,
    model: str = EmbedOptions.model,
    *,
    options: EmbedOptions | None = None,
    progress: bool = False,
) -> ImageEmbeddings:
    """Open each image once: hash it, measure it, embed it with a frozen network.

    Parameters
    ----------
    paths : a list of image files, or one folder of images (labels and splits are read from its layout)
    model : any timm model; the default's weights come with a package
    options : size, batch size, device, backend, workers; its `model` counts where `model` is left alone
    progress : show a bar on stderr

    Returns
    -------
    ImageEmbeddings; what can't be read has no embedding, and a row in `.scan` that says why

    Raises
    ------
    InputError : no paths, or a path that is there twice
    ModelError : unknown model, or weights that can't be had

    Examples
    --------
    >>> from PIL import Image
    >>> folder = tmp_path()
    >>> for name, colour in [("red", (200, 30, 30)), ("blue", (30, 30, 200))]:
    ...     Image.new("RGB", (40, 30), colour).save(folder / f"{name}.png")
    >>> found = curate.embed_images([folder / "red.png", folder / "blue.png", folder / "lost.png"])
    >>> found
    ImageEmbeddings(2 of 3 images, 1408 numbers each)
    >>> found.scan["status"].tolist()
    ['ok', 'ok', 'missing']
    """
    sources = checks.as_sources(paths)
    options = options or EmbedOptions()
    return _embedded(sources, options if model == EmbedOptions.model else replace(options, model=model), _bar(progress))


def _embedded(sources: pd.DataFrame, options: EmbedOptions, progress: Progress) -> ImageEmbeddings:
    from curate.embed.embedder import load_embedder
    from curate.embed.scan import scan
    from curate.embed.store import load

    embedder = load_embedder(options, sources["path"].tolist())
    with tempfile.TemporaryDirectory(prefix="curate-") as folder:
        with progress("scan", len(sources), "img") as advance:
            table = scan(sources, embedder, Path(folder), options=options, advance=advance)
        embedded = load(Path(folder), table)
    return ImageEmbeddings(embedded.embeddings, embedded.thumbs, table, sources)


def find_duplicates(
    paths: Any,
    splits: Any = None,
    *,
    threshold: float | None = None,
    options: EmbedOptions | None = None,
    progress: bool = False,
) -> Duplicates:
    """Find files of the same bytes, and pictures of the same shot: re-encoded, resized, cropped, turned.

    Parameters
    ----------
    paths : a list of image files, a folder of images, or what `embed_images` returned
    splits : (N,) names such as train and test, null for none; a pair in two of them is a leak. Default: those of a
        folder's layout
    threshold : agreement in [0, 1] from which a near pair counts; default 0.7
    options : of the embedding, as for `embed_images`
    progress : show a bar on stderr

    Returns
    -------
    Duplicates

    Raises
    ------
    InputError : no readable image, or not one split per path

    Notes
    -----
    Candidates are near by embedding or by 8 × 8 thumbnail, and are then laid over each other pixel by pixel; how near
    is taken against chance in this set. docs/find-duplicates.md has the method and its figures.

    Examples
    --------
    >>> from PIL import Image
    >>> folder = tmp_path()
    >>> pictures = np.random.default_rng(0).integers(0, 255, (5, 40, 40, 3), dtype=np.uint8)
    >>> for number, picture in enumerate(pictures):
    ...     Image.fromarray(picture).save(folder / f"{number}.png")
    >>> Image.fromarray(pictures[0]).save(folder / "copy.png")
    >>> names = [*(f"{number}.png" for number in range(5)), "copy.png"]
    >>> found = curate.find_duplicates([folder / name for name in names], splits=["train"] * 5 + ["test"])
    >>> found
    Duplicates(1 pairs, 1 of them across splits)
    >>> found.groups.tolist()
    [0, 1, 2, 3, 4, 0]
    """
    from curate.find.duplicates.near import NEAR, duplicate_pairs, flagged, linked_groups

    images = paths if isinstance(paths, ImageEmbeddings) else embed_images(paths, options=options, progress=progress)
    sources = images.sources
    if splits is not None:
        sources = sources.assign(split=checks.as_labels(splits, len(sources), "splits").names.to_numpy())
    samples = sources[images.is_readable].reset_index(drop=True)
    samples["sha256"] = images.scan.loc[images.is_readable, "sha256"].to_numpy()
    _refuse_nothing(samples)
    pairs = duplicate_pairs(samples, images.embeddings, _neighbors(images.embeddings), images.thumbs)
    limit = NEAR if threshold is None else checks.as_share(threshold, "threshold")
    groups = pd.Series(linked_groups(samples, pairs, threshold=limit), samples["sample_id"])
    of_paths = checks.as_groups(groups.reindex(sources["sample_id"]), len(sources))
    return Duplicates(pairs, _across(flagged(pairs, limit), samples), of_paths, limit)


def _across(pairs: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """The pairs whose two samples are in different splits."""
    split = samples.set_index("sample_id")["split"]
    a, b = (pairs[side].map(split) for side in ("sample_id_a", "sample_id_b"))
    return pairs[a.notna() & b.notna() & a.ne(b)]


def find_quality_issues(paths: Any, *, options: EmbedOptions | None = None, progress: bool = False) -> pd.DataFrame:
    """Find pictures that are dark, bright, blurry, empty of content, odd in size or shape, grey, or unreadable.

    Parameters
    ----------
    paths : a list of image files, a folder of images, or what `embed_images` returned
    options : `workers` and `max_pixels`
    progress : show a bar on stderr

    Returns
    -------
    One row per path, in order: `sample_id`, and for each issue `is_<issue>_issue` (bool) and `<issue>_score`
    (float64 in [0, 1], lower = worse; NaN where the file can't be read)

    Raises
    ------
    InputError : no paths, or a path that is there twice

    References
    ----------
    The scores are CleanVision's, but where docs/find-quality.md says otherwise.

    Examples
    --------
    >>> from PIL import Image
    >>> folder = tmp_path()
    >>> Image.new("RGB", (40, 30), (3, 3, 3)).save(folder / "night.png")
    >>> found = curate.find_quality_issues([folder / "night.png"])
    >>> bool(found["is_dark_issue"][0])
    True
    """
    from curate.embed.measured import measure_files
    from curate.find.quality import find_quality

    if isinstance(paths, ImageEmbeddings):
        return find_quality(paths.scan).reset_index(drop=True)
    sources = checks.as_sources(paths)
    with _bar(progress)("measure", len(sources), "img") as advance:
        scan = measure_files(sources, options=options or EmbedOptions(), advance=advance)
    return find_quality(scan).reset_index(drop=True)


# ---- numbers -----------------------------------------------------------------------------------------


def find_outliers(embeddings: Any, labels: Any = None, ids: Any = None, *, threshold: float = 0.5) -> pd.DataFrame:
    """Find samples that are unlike the rest of the set, intruders that resemble each other among them.

    Parameters
    ----------
    embeddings : (N, d) finite numbers of any scale
    labels : (N,) or None; they only tell that a small class is a class, wrong ones do no harm
    ids : (N,) a different one for each sample; default: the row numbers
    threshold : samples that score below it are flagged, in [0, 1]

    Returns
    -------
    (N,) rows in order: sample_id, is_outlier_issue (bool), outlier_score (float64 in [0, 1], lower = worse),
    typicality_score and neighbor_score (its two parts), isolation_forest_score, nearest_id, group_id (shared by
    flagged samples that resemble each other). Among fewer than 20 samples nothing is flagged and all score 1

    Raises
    ------
    InputError : wrong shapes or lengths, NaN or infinity, an id that is there twice

    Notes
    -----
    Method and figures: docs/find-outliers.md.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> embeddings = rng.normal(size=(200, 8)) + 5
    >>> embeddings[7] = -5
    >>> found = curate.find_outliers(embeddings)
    >>> found.sort_values("outlier_score")["sample_id"].head(1).tolist()
    [7]
    """
    from curate.find.outlier import find_outlier

    rows = checks.as_embeddings(embeddings)
    names = checks.as_labels(labels, len(rows)).names if labels is not None else None
    own = checks.as_ids(ids, len(rows))
    samples = pd.DataFrame({"sample_id": own.names, "label": names}, dtype=object)
    found = find_outlier(samples, rows, _neighbors(rows), threshold=checks.as_share(threshold, "threshold"))
    return own.given(found)


def find_label_errors(
    embeddings: Any = None,
    labels: Any = None,
    annotations: Any = None,
    groups: Any = None,
    ids: Any = None,
    pred_probs: Any = None,
    *,
    classes: Any = None,
    cut: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Say how probable it is that each label is wrong, and what it should be.

    Parameters
    ----------
    embeddings : (N, d) finite numbers of any scale, of any network that was not trained on these labels. A probe
        predicts each sample from the others. Not needed where `pred_probs` are given, and then without a say
    labels : (N,) strings, whole numbers or bools; None or NaN: no label. Not needed where there are annotations
    annotations : what several people said: a table `sample_id, annotator, label`, or (N, A) with a column for each
        person and None or NaN where somebody gave no label
    groups : (N,) keys of samples that belong together (duplicates, one patient): none is predicted from another
    ids : (N,) a different one for each sample; default: the row numbers. Those that annotations name
    pred_probs : (N, C) out-of-sample probabilities of your own model (each sample predicted by a model that was not
        trained on it), rows sum to 1; they take the place of the probe's
    classes : (C,) the label that each column of `pred_probs` is of. Default: the columns of a DataFrame; of whole
        numbers below C those from 0 to C - 1; else the labels that occur, sorted
    cut : P(wrong) in [0, 1] from which a label is flagged; default: where the flags' expected F1 is largest
    seed : of the probe

    Returns
    -------
    (N,) rows in order: sample_id, is_label_issue (bool), label_score (float64 in [0, 1]: P(the label is right),
    lower = worse, NaN where there is no label), label_probability (1 less that), given_label, suggested_label (the
    likeliest other class), suggested_probability

    Raises
    ------
    InputError : wrong shapes, lengths or types, NaN or infinity, probabilities that don't sum to 1
    NotEnoughData : fewer than two classes, or fewer than two groups with a label

    Notes
    -----
    The probe is kernel ridge regression; a model of picture and labellers turns its scores into probabilities. Method
    and sources: docs/find-label.md, docs/label-model.md.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(120) % 3
    >>> embeddings = np.eye(3)[labels] + rng.normal(scale=0.2, size=(120, 3))
    >>> labels[5] = 0  # it was 2
    >>> found = curate.find_label_errors(embeddings, labels)
    >>> found.loc[found["is_label_issue"], ["sample_id", "given_label", "suggested_label"]]
       sample_id  given_label  suggested_label
    5          5            0                2
    """
    from curate.find.labels.errors import find_label

    rows = None if embeddings is None else checks.as_embeddings(embeddings)
    n = _count(rows, labels, pred_probs)
    own = checks.as_ids(ids, n)
    given, said = _labels_and_votes(labels, annotations, n, own)
    keys = checks.as_groups(groups, n)
    if pred_probs is None:
        prediction, named = _probed(rows, given, keys, said, seed), given
    else:
        prediction, named = _predicted(pred_probs, n, given, said, classes)
    samples = pd.DataFrame({"sample_id": own.names, "label": given.names}, dtype=object)
    found = find_label(samples, prediction, cut=None if cut is None else checks.as_share(cut, "cut"))
    own_labels = {name: named.given(found[name]) for name in ("given_label", "suggested_label")}
    return own.given(found.assign(**own_labels))


def _count(rows: np.ndarray | None, labels: Any, pred_probs: Any) -> int:
    """How many samples there are, by the first argument that says so."""
    if rows is not None:
        return len(rows)
    if pred_probs is None:
        raise InputError("neither embeddings nor pred_probs", "what a network says of the samples")
    return len(checks.as_numbers(pred_probs, "pred_probs", "(N, C), a row for each sample and a column for each class"))


def _labels_and_votes(
    labels: Any, annotations: Any, n: int, own: checks.Ids
) -> tuple[checks.Labels, pd.DataFrame | None]:
    """The labels in force, and `row, label, labeller` of all that was said where people annotated."""
    from curate.ingest.consensus import majority

    if labels is None and annotations is None:
        raise InputError("neither labels nor annotations", "a label for each sample: labels=…")
    given = checks.as_labels([None] * n if labels is None else labels, n)
    if annotations is None:
        return given, None
    votes = checks.as_annotations(annotations, own)
    settled = pd.Series(own.names).map(majority(votes.table).set_index("sample_id")["label"])
    in_force = checks.Labels(_filled(given.names, settled), checks.joined(given.values, votes.labels))
    rows = pd.Index(own.names).get_indexer(pd.Index(votes.table["sample_id"]))
    said = pd.DataFrame({"row": rows, "label": votes.table["label"], "labeller": "by " + votes.table["annotator"]})
    alone = np.setdiff1d(np.flatnonzero(given.names.notna()), rows)
    return in_force, pd.concat([said, _single(given.names, alone)], ignore_index=True)


def _filled(labels: pd.Series, settled: pd.Series) -> pd.Series:
    """Labels given where there are some, else what the annotators settled on."""
    names = labels.where(labels.notna(), settled).astype(object)
    return names.where(names.notna(), None)


def _single(names: pd.Series, rows: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"row": rows, "label": names.iloc[rows].to_numpy(), "labeller": "the label"})


def _probed(
    rows: np.ndarray | None, labels: checks.Labels, groups: np.ndarray, said: pd.DataFrame | None, seed: int
) -> Prediction:
    from curate.find.labels.probe import predict

    assert rows is not None
    return predict(
        rows, labels.names, groups, options=FindOptions(seed=checks.as_count(seed, "seed")), annotations=said
    )


def _predicted(
    pred_probs: Any, n: int, labels: checks.Labels, said: pd.DataFrame | None, classes: Any
) -> tuple[Prediction, checks.Labels]:
    """The prediction, and the labels with all classes that it knows."""
    from curate.find.labels.probe import with_pred_probs

    probs, known = checks.as_pred_probs(pred_probs, labels, classes)
    checks.same_length(len(probs), n, "rows of pred_probs")
    return with_pred_probs(probs, list(known), labels.names, annotations=said), checks.Labels(labels.names, known)


# ---- people --------------------------------------------------------------------------------------------


def agreement(annotations: Any, *, bootstraps: int = 1000, seed: int = 0) -> Agreement:
    """Measure how far people agree, and whom and what they disagree about.

    Parameters
    ----------
    annotations : a table `sample_id, annotator, label`; or (N, A), a row for each sample and a column for each
        person, None or NaN where somebody gave no label
    bootstraps : draws of each 95% interval; 0 for none
    seed : of the draws

    Returns
    -------
    Agreement: `.overall` (agreement, conflict_rate, fleiss_kappa, krippendorff_alpha, each with low and high),
    `.per_class`, `.per_pair`, `.per_annotator`, `.confusion`, `.to_text()`. Rates are in [0, 1]; kappas and alpha at
    most 1, 0 = chance

    Raises
    ------
    InputError : not such a table, or somebody labelled a sample twice

    References
    ----------
    Fleiss (1971); Krippendorff (2011); Gwet (2014), chapter 2; Efron and Tibshirani (1993) for the intervals.

    Examples
    --------
    >>> votes = [["cat", "cat"], ["dog", "dog"], ["cat", "dog"], ["dog", "dog"]]
    >>> curate.agreement(votes).conflict_rate
    0.25
    """
    from curate.ingest.annotators import agreement as measured

    votes = checks.as_annotations(annotations).table
    return measured(votes, bootstraps=checks.as_count(bootstraps, "bootstraps"), seed=checks.as_count(seed, "seed"))


def consensus(annotations: Any, pred_probs: Any = None, ids: Any = None, *, classes: Any = None) -> pd.DataFrame:
    """Settle on one label per sample, by what people said alone or, where given, together with a model.

    Parameters
    ----------
    annotations : a table `sample_id, annotator, label`; or (N, A), a row for each sample and a column for each
        person, None or NaN where somebody gave no label
    pred_probs : (N, C) out-of-sample probabilities, rows sum to 1. Their rows are those of (N, A) annotations, or the
        samples in `ids`
    ids : (N,) the sample of each row of `pred_probs`, or of (N, A) annotations
    classes : (C,) the label that each column is of; default as for `find_label_errors`

    Returns
    -------
    One row per annotated sample: sample_id, label, n_annotations, agreement (share of the people that chose it, [0,
    1]), consensus_score ([0, 1], lower = worse), is_conflict, method (majority or crowdlab)

    Raises
    ------
    InputError : not such a table, samples that `ids` does not name, probabilities that don't sum to 1
    NotEnoughData : with `pred_probs`, where no sample was labelled by two people

    References
    ----------
    Dawid and Skene (1979) for ties of the majority; Goh, Tkachenko and Mueller (2022), CROWDLAB, with `pred_probs`.

    Examples
    --------
    >>> votes = [["cat", "cat", "dog"], ["dog", "dog", None], ["cat", None, None]]
    >>> curate.consensus(votes)[["sample_id", "label", "is_conflict"]]
       sample_id label  is_conflict
    0          0   cat         True
    1          1   dog        False
    2          2   cat        False
    """
    from curate.ingest.annotators import crowdlab, majority

    votes = checks.as_annotations(annotations, None if ids is None else checks.as_ids(ids, checks.length(ids, "ids")))
    known = checks.Labels(pd.Series(dtype=object), votes.labels)
    if pred_probs is None:
        table = majority(votes.table)
    else:
        if not len(votes.ids.names):
            raise InputError("pred_probs beside a long table of annotations", "the sample of each row: ids=[…]")
        probs, columns = checks.as_pred_probs(pred_probs, known, classes)
        checks.same_length(len(probs), len(votes.ids.names), "rows of pred_probs")
        table = crowdlab(votes.table, probs, list(columns), list(votes.ids.names))[0]
    return votes.ids.given(table.assign(label=known.given(table["label"])))


# ---- splits and models -----------------------------------------------------------------------------------


def split(
    labels: Any,
    groups: Any = None,
    ids: Any = None,
    *,
    train: float = SplitOptions.train,
    val: float = SplitOptions.val,
    test: float = SplitOptions.test,
    seed: int = SplitOptions.seed,
) -> np.ndarray:
    """Divide samples into train, val and test: each class alike, no group in two of them.

    Parameters
    ----------
    labels : (N,) strings, whole numbers or bools; samples without one are divided as a class of their own
    groups : (N,) keys of samples that belong together (duplicates, one patient), null for none
    ids : (N,) a different one for each sample; the result then does not depend on the order of the rows
    train, val, test : shares from 0 that add up to 1
    seed : of the order among samples that are alike

    Returns
    -------
    (N,) array of 'train', 'val' and 'test'

    Raises
    ------
    InputError : wrong lengths or types
    SplitError : shares that make no whole

    Examples
    --------
    >>> made = curate.split(["cat", "dog"] * 50, groups=np.arange(100) // 2)
    >>> [int((made == name).sum()) for name in ("train", "val", "test")]
    [70, 14, 16]
    """
    from curate.ingest.splits import join_groups, make_splits

    given = checks.as_labels(labels)
    n = len(given.names)
    samples = pd.DataFrame({"sample_id": checks.as_ids(ids, n).names, "label": given.names}, dtype=object)
    shares = {name: checks.as_share(value, name) for name, value in (("train", train), ("val", val), ("test", test))}
    options = SplitOptions(**shares, seed=checks.as_count(seed, "seed"))  # type: ignore[arg-type]
    return make_splits(samples, join_groups(checks.as_groups(groups, n)), options=options).to_numpy(dtype="U5")


def compare_models(
    labels: Any,
    a: Any,
    b: Any,
    groups: Any = None,
    *,
    classes: Any = None,
    bootstraps: int = 2000,
    seed: int = 0,
) -> Difference:
    """Say whether model b is better than model a on the same test samples: b minus a, with intervals and a test.

    Parameters
    ----------
    labels : (N,) true labels, none missing
    a, b : (N,) predicted labels, or (N, C) probabilities whose largest counts
    groups : (N,) keys of samples that are not independent (patient, video); whole groups are drawn
    classes : (C,) the label that each column of probabilities is of; default as for `find_label_errors`
    bootstraps : resamples for the intervals, 1 or more
    seed : of the resamples

    Returns
    -------
    Difference: `.accuracy` and `.macro_f1` (b minus a, in [-1, 1]) with `_interval` (95%), `.test` (exact, two-sided),
    `.to_text()`, `.verdict` (better, worse, or "no difference shown")

    Raises
    ------
    InputError : wrong lengths or types, or a sample without a label

    References
    ----------
    McNemar (1947), exact form; with groups Fisher's sign-flip test. The bootstrap is paired.

    Examples
    --------
    >>> labels = np.arange(100) % 2
    >>> found = curate.compare_models(labels, a=np.zeros(100, int), b=labels)
    >>> found.verdict, found.accuracy
    ('better', 0.5)
    """
    from curate.evaluate.scores import compare

    truth = checks.as_labels(labels)
    first, second = (_answers(each, truth, classes, name) for each, name in ((a, "a"), (b, "b")))
    for each, name in ((truth, "labels"), (first, "a"), (second, "b")):
        if each.names.isna().any():
            raise InputError(f"{name}: row {int(each.names.isna().argmax())} has no label", "a label for each sample")
    known = checks.joined(checks.joined(truth.values, first.values), second.values)
    keys = None if groups is None else checks.as_groups(groups, len(truth.names))
    draws, seed = checks.as_count(bootstraps, "bootstraps", 1), checks.as_count(seed, "seed")
    right, one, other = (each.names.to_numpy(dtype=object) for each in (truth, first, second))
    return compare(right, one, other, checks.sorted_classes(known), groups=keys, bootstraps=draws, seed=seed)


def _answers(given: Any, truth: checks.Labels, classes: Any, name: str) -> checks.Labels:
    """Predicted labels, or the likeliest of probabilities, as labels."""
    array = checks.as_array(given, name)
    if array.ndim != 2 or array.shape[1] == 1:
        return checks.as_labels(array, len(truth.names), f"labels of {name}")
    probs, columns = checks.as_pred_probs(given, truth, classes)
    checks.same_length(len(probs), len(truth.names), f"rows of {name}")
    return checks.Labels(pd.Series(np.array(list(columns), dtype=object)[probs.argmax(axis=1)], dtype=object), columns)


# ---- what is kept ------------------------------------------------------------------------------------------


def open(path: str | Path, *, progress: bool = False) -> Dataset:
    """Open a workspace: one method per command of `curate`, results as tables.

    Parameters
    ----------
    path : the workspace folder; where there is none yet, `.ingest` makes it
    progress : show bars on stderr

    Returns
    -------
    Dataset

    Raises
    ------
    WorkspaceError : a folder with other files in it, or a workspace of another version

    Examples
    --------
    >>> ds = curate.open(tmp_path() / "ws")
    >>> ds
    Dataset(...ws): nothing ingested yet
    """
    return Dataset(path, progress=_bar(progress))


def _bar(wanted: bool) -> Progress:
    return bar if wanted else silent


def _neighbors(rows: np.ndarray) -> Neighbors:
    from curate.find.neighbors import nearest

    return nearest(rows, NEIGHBORS)


def _refuse_nothing(samples: pd.DataFrame) -> None:
    if samples.empty:
        raise InputError("none of the images can be read", "one image or more", "see .scan of curate.embed_images")
