"""Decisions and thresholds → what to do with each sample. A pure function."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from curate.apply.guards import cap_drops, empty_no_class, protect_test
from curate.config import PolicyOptions
from curate.decisions.decision import InForce, read_evidence
from curate.issues.flags import probability
from curate.issues.groups import best_first, linked
from curate.issues.kinds import KEEP_ONE, kind_of
from curate.issues.table import issue_names
from curate.schema import conform

# A proposal is a row of ACTIONS_TABLE with `by_person`, whether a person looked at this very sample, and
# `certainty`, P(it is right), which says what a guard holds back first.
PROPOSAL = ["sample_id", "issue", "action", "label", "decided_by", "reason", "by_person", "certainty"]
PRECEDENCE = {"drop": 0, "relabel": 1, "keep": 2}


def plan(
    samples: pd.DataFrame,
    issues: Mapping[str, pd.DataFrame],
    decisions: InForce,
    pairs: pd.DataFrame,
    *,
    options: PolicyOptions | None = None,
) -> pd.DataFrame:
    """Say what a new version changes: verdicts first, then thresholds for what nobody decided.

    One action per sample. A drop wins over a relabel, then a person over a threshold, then the graver issue
    (`Kind.impact`), then the later decision. `keep` and `unsure` keep thresholds away from the
    question that they answer. Three guards follow (`curate.apply.guards`): the test split, the cap on drops per
    class, and no class emptied. What a guard holds back becomes a row `keep` with the reason.

    Parameters
    ----------
    samples : schema SAMPLES
    issues : finder → its table
    decisions : schema DECISIONS, in force on today's files
    pairs : schema PAIRS; those of kind `exact` are what `drop_duplicates` drops
    options : thresholds and guards

    Returns
    -------
    Schema ACTIONS_TABLE, sorted by `sample_id`; samples that stay as they are have no row.

    Raises
    ------
    PolicyError : people's verdicts would drop more of a class than `class_cap`, or empty one
    """
    options = options or PolicyOptions()
    standing = decisions.sort_values("decision_id")
    samples = samples[samples["status"].eq("ok")]
    standing = standing[standing["sample_id"].isin(samples["sample_id"])]
    proposals = [_from_decisions(standing, samples), _from_probabilities(samples, issues, standing, options)]
    copies = _exact_copies(pairs, samples)
    if options.drop_duplicates:
        proposals.append(_from_copies(samples, issues, standing, copies))
    actions = _one_per_sample(pd.concat(proposals, ignore_index=True))
    actions = protect_test(actions, samples, options)
    actions = cap_drops(actions, samples, copies, options)
    actions = empty_no_class(actions, samples)
    return conform("actions", actions.sort_values("sample_id"))


def _from_decisions(decisions: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Drops, and relabels that change something. Of a bulk decision nobody looked at this very sample."""
    label_now = decisions["sample_id"].map(samples.set_index("sample_id")["label"])
    changes = decisions["action"].eq("drop") | (decisions["action"].eq("relabel") & decisions["label"].ne(label_now))
    rows = decisions[changes]
    bulk = read_evidence(rows, "bulk")
    reasons = rows["reason"].astype("object").where(rows["reason"].notna(), bulk.map("in bulk: {}".format))
    return rows.assign(
        decided_by=rows["reviewer"],
        reason=reasons.where(rows["reason"].notna() | bulk.notna(), "reviewed"),
        by_person=bulk.isna(),
        certainty=pd.to_numeric(read_evidence(rows, "probability"), errors="coerce").astype("float64").fillna(0.0),
    )[PROPOSAL]


def _from_probabilities(
    samples: pd.DataFrame, issues: Mapping[str, pd.DataFrame], decisions: pd.DataFrame, options: PolicyOptions
) -> pd.DataFrame:
    """Relabel what is undecided and more probably wrong than `relabel_above`."""
    tables = [table for table in issues.values() if "label" in issue_names(table) and "suggested_label" in table]
    if options.relabel_above is None or not tables:
        return _no_proposals()
    table = tables[0][["sample_id", "suggested_label"]].assign(certainty=probability(tables[0], "label"))
    table = table.merge(samples[["sample_id", "label"]], on="sample_id")
    decided = table["sample_id"].isin(decisions.loc[decisions["issue"].eq("label"), "sample_id"])
    rows = table[~decided & table["certainty"].gt(options.relabel_above) & table["suggested_label"].notna()]
    rows = rows[rows["suggested_label"].ne(rows["label"])]
    said = [f"P(wrong label) {p:.3f} is above {options.relabel_above:g}" for p in rows["certainty"]]
    return rows.assign(
        issue="label",
        action="relabel",
        label=rows["suggested_label"],
        decided_by="threshold",
        by_person=False,
        reason=said,
    )[PROPOSAL]


def _from_copies(
    samples: pd.DataFrame, issues: Mapping[str, pd.DataFrame], decisions: pd.DataFrame, copies: pd.DataFrame
) -> pd.DataFrame:
    """Drop undecided exact copies but the best one; where their labels differ, a person has to choose."""
    members = copies[~copies["sample_id"].isin(decisions.loc[decisions["action"].eq("drop"), "sample_id"])]
    if members.empty:
        return _no_proposals()
    relabelled = decisions[decisions["action"].eq("relabel")].drop_duplicates("sample_id", keep="last")
    new_label = samples["sample_id"].map(relabelled.set_index("sample_id")["label"])
    decided = set(decisions.loc[decisions["issue"].isin(KEEP_ONE), "sample_id"])
    order = best_first(
        members,
        samples.assign(label=samples["label"].astype("object").mask(new_label.notna(), new_label)),
        doubted=_doubted(issues),
        kept=decided | set(relabelled["sample_id"]),
    )
    n_labels = order.groupby("group")["label"].transform("nunique")
    best = order[order["is_best"]].set_index("group")
    rows = order[~order["is_best"] & ~order["sample_id"].isin(decided)]
    differ = n_labels.loc[rows.index].gt(1)
    stays = "exact copy of " + rows["group"].map(best["sample_id"]) + ", which stays: " + rows["group"].map(best["why"])
    return rows.assign(
        issue="exact_duplicate",
        action=differ.map({True: "keep", False: "drop"}),
        label=None,
        decided_by="threshold",
        reason=stays.mask(differ, "held back: its exact copies have another label; a person has to choose"),
        by_person=False,
        certainty=1.0,
    )[PROPOSAL]


def _exact_copies(pairs: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """`group, sample_id` of the samples that have an exact copy."""
    exact = pairs[pairs["kind"].eq("exact")]
    links = exact.rename(columns={"sample_id_a": "sample_id", "sample_id_b": "nearest_id"})[["sample_id", "nearest_id"]]
    links = links[links.isin(set(samples["sample_id"])).all(axis=1)]
    group = linked(links)
    sides = [pd.DataFrame({"group": group, "sample_id": links[side]}) for side in links]
    return pd.concat(sides).drop_duplicates()


def _doubted(issues: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """sample_id → P(its label is wrong), of the flagged."""
    doubted: dict[str, float] = {}
    for table in issues.values():
        if "label" in issue_names(table):
            flagged = table["is_label_issue"].astype("bool")
            doubted |= dict(zip(table["sample_id"][flagged], probability(table, "label")[flagged], strict=True))
    return doubted


def _one_per_sample(proposals: pd.DataFrame) -> pd.DataFrame:
    order = proposals.assign(
        precedence=proposals["action"].map(PRECEDENCE),
        by_threshold=proposals["decided_by"].eq("threshold"),
        impact=-proposals["issue"].map(lambda issue: kind_of(issue).impact).astype("float64"),
        age=-proposals.index.to_numpy(),
    ).sort_values(["sample_id", "precedence", "by_threshold", "impact", "age"])
    return order.drop_duplicates("sample_id")[PROPOSAL].reset_index(drop=True)


def _no_proposals() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype="object") for name in PROPOSAL}).astype({"certainty": "float64"})
