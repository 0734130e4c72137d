"""What finders rest on, brought up to date step by step: neighbours, pairs, predictions, consensus, splits.

A step reads what the workspace has, calls the stage, writes what it made, and returns the facts with that in them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from curate.artifacts import (
    ACTIVE,
    ANNOTATORS,
    BY_PROBE,
    EMBEDDED,
    EMBEDDER,
    FINETUNED,
    LABELLED,
    OWN_PRED_PROBS,
    PAIRS,
    SPLIT_PROOF,
    SPLIT_TABLE,
    TRAINER,
)
from curate.config import FindOptions, SplitOptions, TrainOptions
from curate.errors import DamagedFile, NotEnoughData, StageMissing
from curate.find.facts import Facts
from curate.ingest.annotators import given_labels
from curate.progress import Progress, silent
from curate.schema import conform, empty
from curate.verbs.own import is_given, own_embeddings, own_prediction, refuse_other_judges
from curate.workspace import Workspace

if TYPE_CHECKING:
    from curate.find.labels.probe import Prediction

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preparation:
    """What every step may need beside the facts."""

    workspace: Workspace
    options: FindOptions
    splitting: SplitOptions
    progress: Progress = silent

    def annotations(self) -> pd.DataFrame:
        """Table ANNOTATIONS; empty where nobody annotated."""
        return self.workspace.read("annotations") if self.workspace.has("annotations") else empty("annotations")


Step = Callable[[Preparation, Facts], Facts]


def open_facts(workspace: Workspace) -> Facts:
    """The scan and what it measured; labels and splits as the source gives them, so far."""
    from curate.embed.store import load

    scan = workspace.read("scan")
    embedded = load(workspace.path(store_of(workspace)), scan)
    sources = workspace.read("sources").merge(scan, on="sample_id", validate="one_to_one")
    readable = sources.set_index("sample_id").loc[embedded.sample_ids].reset_index()
    own = own_embeddings(workspace, embedded.sample_ids) if is_given(workspace, "embeddings") else None
    embeddings = embedded.embeddings if own is None else own
    return Facts(scan=scan, samples=readable, embeddings=embeddings, thumbs=embedded.thumbs)


def store_of(workspace: Workspace) -> str:
    """The folder of the embeddings that the last scan made: embeddings/<model>-<size>px."""
    return str(workspace.read(EMBEDDER)["store"])


def neighbors_of(workspace: Workspace) -> str:
    """The file of the neighbours by the last scan's embeddings, or by the user's own."""
    if is_given(workspace, "embeddings"):
        return "neighbors/own.npz"
    return store_of(workspace).replace("embeddings/", "neighbors/") + ".npz"


def with_neighbors(plan: Preparation, facts: Facts) -> Facts:
    """The nearest neighbours of each sample."""
    from curate.find.neighbors import Neighbors, nearest

    k = plan.options.neighbors

    def make() -> dict[str, np.ndarray]:
        # outliers, then stale too, need it: most of a second, for which this search of arrays leaves room
        Thread(target=import_module, args=["sklearn.ensemble"], daemon=True).start()
        found = nearest(facts.embeddings, k)
        return {"D": found.D, "I": found.I, "method": np.array(found.method), "recall": np.array(found.recall)}

    file, inputs = neighbors_of(plan.workspace), ["scan", *EMBEDDED]
    arrays = plan.workspace.derive(file, make, inputs=inputs, parameters={"k": k})
    found = Neighbors(arrays["D"], arrays["I"], str(arrays["method"]), float(arrays["recall"]))
    return replace(facts, neighbors=found)


def with_pairs(plan: Preparation, facts: Facts) -> Facts:
    """Duplicate pairs, and the groups that may not straddle folds or splits."""
    from curate.find.duplicates.near import duplicate_pairs, linked_groups
    from curate.ingest.splits import join_groups

    splits = "\n".join(facts.samples["split"].fillna(""))  # of copies, those in one split stand for each other
    digest = hashlib.blake2b(splits.encode(), digest_size=8).hexdigest()
    pairs = plan.workspace.derive(
        PAIRS,
        lambda: duplicate_pairs(facts.samples, facts.embeddings, facts.neighbors, facts.thumbs),
        inputs=["scan", *EMBEDDED],
        parameters={"k": plan.options.neighbors, "splits": digest},
    )
    groups = join_groups(linked_groups(facts.samples, pairs), facts.samples["group"])
    return replace(facts, pairs=pairs, groups=groups)


def with_prediction(plan: Preparation, facts: Facts) -> Facts:
    """What pixels and people say together, the pixels by the probe or, where asked, a network as well."""
    from curate.find.labels.annotations import labels_by_source
    from curate.find.labels.probe import predict, with_network

    annotations = plan.annotations()
    facts = replace(facts, samples=facts.samples.assign(label=given_labels(facts.samples, annotations)))
    labels_given = labels_by_source(facts.samples, annotations)

    def by_probe() -> Prediction:
        return predict(
            facts.embeddings, facts.samples["label"], facts.groups, options=plan.options, annotations=labels_given
        )

    def by_both() -> Prediction:
        return (
            with_network(plan.workspace.read(network), probe, facts.samples, annotations=labels_given)
            if network
            else probe
        )

    def by_the_user() -> Prediction:
        return own_prediction(plan.workspace, facts.samples, labels_given)

    try:
        if is_given(plan.workspace, "pred_probs"):
            refuse_other_judges(plan.options)
            return replace(facts, prediction=_derived(plan, ACTIVE, by_the_user, [*LABELLED, OWN_PRED_PROBS]))
        network = PREDICTIONS[plan.options.predictions](plan, facts, labels_given)
        probe = _derived(plan, BY_PROBE, by_probe, [*LABELLED, PAIRS])  # pairs: its groups rest on them
        active = _derived(plan, ACTIVE, by_both, [BY_PROBE, *([network] if network else [])])
    except NotEnoughData as reason:  # one class, or no labels at all: the other finders have work all the same
        for file in (BY_PROBE, ACTIVE):
            plan.workspace.forget(file)
        return replace(facts, lacking={**facts.lacking, "prediction": reason.found})
    return replace(facts, probe=probe, prediction=active)


def _derived(plan: Preparation, name: str, make: Callable[[], Prediction], inputs: list[str]) -> Prediction:
    from curate.find.labels.probe import Prediction

    def arrays() -> dict[str, np.ndarray]:
        made = make()
        return {part.name: np.asarray(getattr(made, part.name)) for part in fields(made)}

    return Prediction(**plan.workspace.derive(name, arrays, inputs=inputs, parameters={"seed": plan.options.seed}))


def _of_the_trainer(plan: Preparation, facts: Facts, labels_given: pd.DataFrame) -> str:
    if not plan.workspace.has(TRAINER):
        raise StageMissing("the trainer has made no predictions yet", do="curate retrain, without --folds 0")
    return TRAINER


def _fine_tuned(plan: Preparation, facts: Facts, labels_given: pd.DataFrame) -> str:
    """Networks are trained on what the probe makes of the labels of their training sets."""
    workspace, options = plan.workspace, plan.options
    training = TrainOptions(model=workspace.read(EMBEDDER)["model"], epochs=options.finetune_epochs, seed=options.seed)

    def teacher(some: pd.DataFrame) -> pd.DataFrame:
        from curate.find.labels.probe import annotations_of, predict

        rows = pd.Index(facts.samples["sample_id"]).get_indexer(pd.Index(some["sample_id"]))
        labels, some_labels = facts.samples["label"].iloc[rows], annotations_of(rows, labels_given)
        prediction = predict(
            facts.embeddings[rows], labels, facts.groups[rows], options=options, annotations=some_labels
        )
        return pd.DataFrame(prediction.posterior, columns=prediction.classes)

    def make() -> pd.DataFrame:
        from curate.experiment.folds import fine_tuned

        samples, folder = facts.samples.assign(group=facts.groups.astype(str)), workspace.path("finetune")
        return fine_tuned(samples, folder, options=training, teacher=teacher, progress=plan.progress)

    workspace.derive(FINETUNED, make, inputs=LABELLED, parameters=asdict(training))
    return FINETUNED


# FindOptions.predictions → the file with what a network says of samples that it has not seen; empty: the probe alone
PREDICTIONS: dict[str, Callable[[Preparation, Facts, pd.DataFrame], str]] = {
    "probe": lambda plan, facts, labels_given: "",
    "trainer": _of_the_trainer,
    "finetune": _fine_tuned,
}


def with_consensus(plan: Preparation, facts: Facts) -> Facts:
    """The annotators' consensus becomes the label. It rests on the probe where a trainer learned from it."""
    from curate.ingest.annotators import consensus

    if (annotations := plan.annotations()).empty:
        return facts
    by_trainer = plan.options.predictions == "trainer"
    prediction, source = (facts.probe, BY_PROBE) if by_trainer else (facts.prediction, ACTIVE)
    pred_probs, classes = (prediction.pred_probs, prediction.classes) if prediction else (None, [])
    table, quality = consensus(annotations, pred_probs, list(classes), facts.samples["sample_id"].to_list())
    plan.workspace.write("consensus", table, inputs=["annotations", source])
    plan.workspace.write(ANNOTATORS, quality, inputs=["annotations", source])
    agreed = facts.samples["sample_id"].map(table.set_index("sample_id")["label"])
    return replace(facts, samples=facts.samples.assign(label=agreed.fillna(facts.samples["label"])))


def with_splits(plan: Preparation, facts: Facts) -> Facts:
    """Divide what the source has not divided, prove it, and assemble `samples` and the pairs."""
    from curate.find.duplicates.near import rank_pairs
    from curate.ingest.splits import split_proof

    samples = facts.samples.assign(split=_splits(plan, facts))
    proof = split_proof(samples, facts.groups)
    inputs = ["sources", "scan", "annotations", "consensus", SPLIT_TABLE]
    plan.workspace.write(SPLIT_PROOF, {"text": proof.to_text(), **proof.to_dict()}, inputs=inputs)
    plan.workspace.write("samples", _all_samples(plan, facts.scan, samples), inputs=inputs)
    pairs = rank_pairs(facts.pairs, samples)
    plan.workspace.write("near_duplicate_pairs", pairs, inputs=[PAIRS, "samples"])
    return replace(facts, samples=samples, pairs=pairs)


def _splits(plan: Preparation, facts: Facts) -> pd.Series:
    """The source's splits; of samples that it gives none, what an earlier ingest gave them, and ours of new ones."""
    from curate.ingest.splits import earlier_splits, make_splits, with_absent

    workspace, parameters = plan.workspace, asdict(plan.splitting)
    samples = facts.samples[["sample_id", "sha256", "split"]]
    if samples["split"].notna().all():
        workspace.forget(SPLIT_TABLE)
        return samples["split"]
    earlier = _earlier_splits(workspace, plan.splitting, samples.head(0))
    known = facts.samples.assign(split=earlier_splits(samples, earlier))
    splits = make_splits(known, facts.groups, options=plan.splitting)
    table = with_absent(samples.assign(split=splits), earlier)
    workspace.write(SPLIT_TABLE, table, parameters=parameters, inputs=["sources", "scan"])
    return splits


def _earlier_splits(workspace: Workspace, splitting: SplitOptions, none: pd.DataFrame) -> pd.DataFrame:
    """sample_id, sha256 and split as an earlier ingest with these options made them.

    Where that file is damaged, as the samples have them: a test image must not come to be learned from.
    """
    try:
        made = workspace.sidecar(SPLIT_TABLE)
        return workspace.read(SPLIT_TABLE) if made and made["parameters"] == asdict(splitting) else none
    except DamagedFile as error:
        log.warning("%s; the splits are taken from tables/samples.parquet", error.found)
    try:
        samples = workspace.read("samples")
    except (DamagedFile, StageMissing) as error:
        raise DamagedFile(
            f"{workspace.file_of(SPLIT_TABLE)} is damaged, and so are the samples, which would tell the splits too",
            do="put one of them back from a copy; or delete the first, and curate ingest divides all images anew",
        ) from error
    return samples.loc[samples["split"].notna() & samples["status"].eq("ok"), ["sample_id", "sha256", "split"]]


def splitting_so_far(workspace: Workspace) -> SplitOptions:
    """The options by which samples were split last."""
    made = workspace.intact_sidecar(SPLIT_TABLE)
    return SplitOptions(**made["parameters"]) if made else SplitOptions()


def _all_samples(plan: Preparation, scan: pd.DataFrame, readable: pd.DataFrame) -> pd.DataFrame:
    """SAMPLES: the readable ones as they are now, the unreadable ones with what the source says of them."""
    sources = plan.workspace.read("sources").merge(scan, on="sample_id", validate="one_to_one")
    unread = sources[~sources["sample_id"].isin(readable["sample_id"])]
    unread = unread.assign(label=given_labels(unread, plan.annotations()))
    return conform("samples", pd.concat([readable, unread]).sort_values("sample_id"))


STEPS: tuple[Step, ...] = (with_neighbors, with_pairs, with_prediction, with_consensus, with_splits)
