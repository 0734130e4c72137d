"""What finders rest on, brought up to date: neighbours, pairs, predictions, consensus, splits."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, fields
from importlib import import_module
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd

from curate.artifacts import (
    ANNOTATORS,
    BY_PROBE,
    EMBEDDER,
    FINETUNED,
    IN_FORCE,
    LABELLED,
    SPLIT_PROOF,
    SPLIT_TABLE,
    TRAINER,
)
from curate.config import FindOptions, SplitOptions, TrainOptions
from curate.errors import NotEnoughData, StageMissing
from curate.find.facts import Facts
from curate.progress import Progress, silent
from curate.schema import conform
from curate.verbs.find import _earlier_splits
from curate.workspace import Workspace

log = logging.getLogger(__name__)


def open_facts(workspace: Workspace) -> Facts:
    """The scan and what it measured; labels and splits as the source gives them, so far."""
    from curate.embed.store import load

    scan = workspace.read("scan")
    embedded = load(workspace.path(store_of(workspace)), scan)
    sources = workspace.read("sources").merge(scan, on="sample_id", validate="one_to_one")
    readable = sources.set_index("sample_id").loc[embedded.sample_ids].reset_index()
    return Facts(scan=scan, samples=readable, embeddings=embedded.embeddings, thumbs=embedded.thumbs)


def store_of(workspace: Workspace) -> str:
    """The folder of the embeddings that the last scan made: embeddings/<model>-<size>px."""
    return str(workspace.read(EMBEDDER)["store"])


def neighbors_of(workspace: Workspace) -> str:
    """The file of the neighbours of the last scan's embeddings."""
    return store_of(workspace).replace("embeddings/", "neighbors/") + ".npz"


def add_neighbors(workspace: Workspace, facts: Facts, options: FindOptions, splitting: SplitOptions) -> None:
    from curate.find.neighbors import Neighbors, nearest

    def make() -> dict[str, np.ndarray]:
        # outliers, then stale too, need it: most of a second, for which this search of arrays leaves room
        Thread(target=import_module, args=["sklearn.ensemble"], daemon=True).start()
        found = nearest(facts.embeddings, options.neighbors)
        return {"D": found.D, "I": found.I, "method": np.array(found.method), "recall": np.array(found.recall)}

    arrays = workspace.derive(
        neighbors_of(workspace), make, inputs=["scan", EMBEDDER], parameters={"k": options.neighbors}
    )
    facts.neighbors = Neighbors(arrays["D"], arrays["I"], str(arrays["method"]), float(arrays["recall"]))


def add_pairs(workspace: Workspace, facts: Facts, options: FindOptions, splitting: SplitOptions) -> None:
    """Duplicate pairs, and the groups that may not straddle folds or splits."""
    from curate.find.duplicates.near import duplicate_pairs, linked_groups
    from curate.ingest.splits import join_groups

    splits = "\n".join(facts.samples["split"].fillna(""))  # of copies, those in one split stand for each other
    facts.pairs = workspace.derive(
        "neighbors/pairs.parquet",
        lambda: duplicate_pairs(facts.samples, facts.embeddings, facts.neighbors, facts.thumbs),
        inputs=["scan", EMBEDDER],
        parameters={"k": options.neighbors, "splits": hashlib.blake2b(splits.encode(), digest_size=8).hexdigest()},
    )
    facts.groups = join_groups(linked_groups(facts.samples, facts.pairs), facts.samples["group"])


def add_prediction(
    workspace: Workspace, facts: Facts, options: FindOptions, splitting: SplitOptions, progress: Progress = silent
) -> None:
    """What pixels and people say together, the pixels by the probe or, where asked, a network; and the consensus."""
    from curate.find.labels.probe import Prediction, predict, with_network

    facts.samples["label"] = _given_labels(workspace, facts.samples)
    said = _all_said(workspace, facts.samples)

    def derived(name: str, make: Callable[[], Prediction], inputs: list[str]) -> Prediction:
        def arrays() -> dict[str, np.ndarray]:
            made = make()
            return {part.name: np.asarray(getattr(made, part.name)) for part in fields(made)}

        return Prediction(**workspace.derive(name, arrays, inputs=inputs, parameters=asdict(options)))

    def by_probe() -> Prediction:
        return predict(facts.embeddings, facts.samples["label"], facts.groups, options=options, said=said)

    def in_force(first: Prediction) -> Prediction:
        return with_network(workspace.read(network), first, facts.samples, said=said) if network else first

    probe = None
    try:
        network = _by_network(workspace, facts, options, said, progress)
        probe = first = derived(BY_PROBE, by_probe, LABELLED)
        facts.prediction = derived(IN_FORCE, lambda: in_force(first), [BY_PROBE, *([network] if network else [])])
    except NotEnoughData as reason:  # one class, or no labels at all: the other finders have work all the same
        facts.lacking["prediction"] = reason.found
        workspace.forget(BY_PROBE)
        workspace.forget(IN_FORCE)
    if not _is_annotated(workspace):
        return
    if options.predictions == "trainer":  # it learned labels that rest on the consensus
        _add_consensus(workspace, facts, probe, BY_PROBE)
    else:
        _add_consensus(workspace, facts, facts.prediction, IN_FORCE)


def _by_network(
    workspace: Workspace, facts: Facts, options: FindOptions, said: pd.DataFrame, progress: Progress
) -> str:
    """The file with what a trained network says of samples that it has not seen; empty where the probe is to judge."""
    if options.predictions == "trainer" and not workspace.has(TRAINER):
        raise StageMissing("the trainer has made no predictions yet", do="curate retrain, without --folds 0")
    if options.predictions != "finetune":
        return TRAINER if options.predictions == "trainer" else ""
    training = TrainOptions(model=workspace.read(EMBEDDER)["model"], epochs=options.finetune_epochs, seed=options.seed)

    def teacher(some: pd.DataFrame) -> pd.DataFrame:
        from curate.find.labels.probe import predict, said_of

        rows = pd.Index(facts.samples["sample_id"]).get_indexer(pd.Index(some["sample_id"]))
        labels, theirs = facts.samples["label"].iloc[rows], said_of(rows, said)
        told = predict(facts.embeddings[rows], labels, facts.groups[rows], options=options, said=theirs)
        return pd.DataFrame(told.posterior, columns=told.classes)

    def make() -> pd.DataFrame:
        from curate.experiment.folds import fine_tuned

        samples, folder = facts.samples.assign(group=facts.groups.astype(str)), workspace.path("finetune")
        return fine_tuned(samples, folder, options=training, teacher=teacher, progress=progress)

    workspace.derive(FINETUNED, make, inputs=LABELLED, parameters=asdict(training))
    return FINETUNED


def _all_said(workspace: Workspace, samples: pd.DataFrame) -> pd.DataFrame:
    """row of `samples`, label, labeller: each annotator's word, or the arbiter's; elsewhere that of the split."""
    from curate.ingest.consensus import without_overruled

    given = samples.assign(row=np.arange(len(samples)), labeller="split " + samples["split"].fillna(""))
    given = given.loc[samples["label"].notna(), ["row", "label", "labeller", "sample_id"]]
    if not _is_annotated(workspace):
        return given.drop(columns="sample_id")
    votes = without_overruled(workspace.read("annotations")).merge(given[["row", "sample_id"]], on="sample_id")
    votes["labeller"] = "annotator " + votes["annotator"]
    said = pd.concat([votes, given[~given["sample_id"].isin(votes["sample_id"])]], ignore_index=True)
    return said[["row", "label", "labeller"]]


def _is_annotated(workspace: Workspace) -> bool:
    return workspace.has("annotations") and len(workspace.read("annotations")) > 0


def _given_labels(workspace: Workspace, samples: pd.DataFrame) -> pd.Series:
    """The source's label, or the majority of the annotators where there are any."""
    from curate.ingest.annotators import majority

    labels = samples["label"]
    if _is_annotated(workspace):
        consensus = majority(workspace.read("annotations")).set_index("sample_id")["label"]
        labels = samples["sample_id"].map(consensus).fillna(labels)
    return labels


def _add_consensus(workspace: Workspace, facts: Facts, prediction: Any, source: str) -> None:
    """CROWDLAB's consensus by the prediction, of the file `source`, becomes the label in force; of what can't be read,
    the majority's."""
    from curate.ingest.annotators import crowdlab, majority

    annotations = workspace.read("annotations")
    try:
        if prediction is None:
            raise NotEnoughData(facts.lacking["prediction"])
        consensus, quality = crowdlab(
            annotations, prediction.pred_probs, list(prediction.classes), facts.samples["sample_id"].to_list()
        )
    except NotEnoughData as reason:  # no model, or nobody labelled the same readable image: there is nothing to weigh
        log.info("consensus by majority: %s", reason)
        consensus, quality = (
            majority(annotations).head(0),
            pd.DataFrame({"annotator": sorted(set(annotations["annotator"]))}),
        )
    rest = majority(annotations)
    rest = rest[~rest["sample_id"].isin(consensus["sample_id"])]
    table = pd.concat([consensus, rest]).sort_values("sample_id", ignore_index=True)
    workspace.write("consensus", table, inputs=["annotations", source])
    workspace.write(ANNOTATORS, quality, inputs=["annotations", source])
    agreed = facts.samples["sample_id"].map(table.set_index("sample_id")["label"])
    facts.samples["label"] = agreed.fillna(facts.samples["label"])


def add_splits(workspace: Workspace, facts: Facts, options: FindOptions, splitting: SplitOptions) -> None:
    """Divide what the source has not divided, prove it, and assemble `samples` and the pairs."""
    from curate.find.duplicates.near import rank_pairs
    from curate.ingest.splits import split_proof

    facts.samples["split"] = _splits(workspace, facts, splitting)
    proof = split_proof(facts.samples, facts.groups)
    inputs = ["sources", "scan", "annotations", "consensus", SPLIT_TABLE]
    workspace.write(SPLIT_PROOF, {"text": proof.to_text(), **proof.to_dict()}, inputs=inputs)
    workspace.write("samples", _all_samples(workspace, facts), inputs=inputs)
    facts.pairs = rank_pairs(facts.pairs, facts.samples)
    workspace.write("near_duplicate_pairs", facts.pairs, inputs=["neighbors/pairs.parquet", "samples"])


def _splits(workspace: Workspace, facts: Facts, splitting: SplitOptions) -> pd.Series:
    """The source's splits; of samples that it gives none, what an earlier ingest gave them, and ours of new ones.

    A file that is away for an ingest, or has another name after it, has its split still.
    """
    from curate.ingest.splits import make_splits

    samples, given = facts.samples[["sample_id", "sha256"]], facts.samples["split"]
    if given.notna().all():
        workspace.forget(SPLIT_TABLE)
        return given
    earlier = _earlier_splits(workspace, splitting, samples.head(0).assign(split=""))
    for name in ("sample_id", "sha256"):
        known = earlier.drop_duplicates(name).set_index(name)["split"]
        given = given.fillna(samples[name].map(known).astype("str"))
    splits = make_splits(facts.samples.assign(split=given), facts.groups, options=splitting)
    away = earlier[~earlier["sample_id"].isin(samples["sample_id"])]
    table = pd.concat([samples.assign(split=splits), away]).sort_values("sample_id", ignore_index=True)
    workspace.write(SPLIT_TABLE, table, parameters=asdict(splitting), inputs=["sources", "scan"])
    return splits


def splitting_so_far(workspace: Workspace) -> SplitOptions:
    made = workspace.intact_sidecar(SPLIT_TABLE)
    return SplitOptions(**made["parameters"]) if made else SplitOptions()


def _all_samples(workspace: Workspace, facts: Facts) -> pd.DataFrame:
    """SAMPLES: the readable ones as they are now, the unreadable ones with what the source says of them."""
    sources = workspace.read("sources").merge(facts.scan, on="sample_id", validate="one_to_one")
    unread = sources[~sources["sample_id"].isin(facts.samples["sample_id"])]
    unread = unread.assign(label=_given_labels(workspace, unread))
    return conform("samples", pd.concat([facts.samples, unread]).sort_values("sample_id"))
