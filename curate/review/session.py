"""The review of one person: the tables as found, the queue, and verdicts that go to the ledger at once.

It knows nothing of FiftyOne, so that all that the App's keys do can be tested, and scripted, without it.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from curate.decisions.decision import InForce, evidence, plain
from curate.decisions.ledger import Ledger
from curate.decisions.moves import reconcile
from curate.errors import ReviewError
from curate.issues.flags import open_flags
from curate.issues.kinds import KEEP_ONE
from curate.review.forecast import Forecast, forecast
from curate.review.queue import build_queue
from curate.schema import empty

CONFLICT = "the copies have different labels"  # the reason that sends a group back to the end of the queue


@dataclass(frozen=True)
class Tables:
    """What the finders found, as the workspace holds it."""

    samples: pd.DataFrame  # SAMPLES
    issues: Mapping[str, pd.DataFrame]
    pairs: pd.DataFrame  # PAIRS
    annotations: pd.DataFrame = field(default_factory=lambda: empty("annotations"))
    consensus: pd.DataFrame = field(default_factory=lambda: empty("consensus"))


class ReviewSession:
    """Verdicts of one person on one workspace. Threads may share it.

    Parameters
    ----------
    tables : what is reviewed
    ledger : where verdicts go, before anything else happens
    reviewer : who decides
    double : ask again about what others decided: this person's verdicts alone empty the queue
    """

    def __init__(self, tables: Tables, ledger: Ledger, reviewer: str, *, double: bool = False) -> None:
        self.ledger, self.reviewer, self.double = ledger, reviewer, double
        self._lock = threading.RLock()
        self.open(tables)

    def open(self, tables: Tables) -> None:
        """Lay out these tables: at the start, and when a `find` has written new ones."""
        with self._lock:
            self.tables = tables
            readable = tables.samples[tables.samples["status"].eq("ok")]
            self.samples = readable.set_index("sample_id", drop=False)
            self.classes = sorted(tables.samples["label"].dropna().unique())
            self._votes = gathered(tables.annotations["sample_id"], tables.annotations["label"])
            self.refresh()

    def refresh(self) -> None:
        """Rank what is still to be decided, with what the verdicts so far say about the finders."""
        with self._lock:
            self.decisions = self._in_force()
            self.queue = build_queue(self.tables.samples, self.tables.issues, self.tables.pairs, self._answered())
            rows = self.queue.assign(place=range(1, len(self.queue) + 1)).to_dict("records")
            self._questions: dict[str, list[dict[str, Any]]] = {}
            self._entries: dict[int, list[dict[str, Any]]] = {}
            for row in rows:
                self._questions.setdefault(row["sample_id"], []).append(row)  # type: ignore[arg-type]
                self._entries.setdefault(row["rank"], []).append(row)  # type: ignore[arg-type]

    def forecast(self) -> Forecast:
        """Precision so far, what to expect, and whether to stop; of the verdicts in force now."""
        with self._lock:
            self.decisions = self._in_force()
            answered, tables = self._answered(), self.tables
        queue = build_queue(tables.samples, tables.issues, tables.pairs, answered)
        return forecast(tables.samples, tables.issues, answered, queue)

    def groups(self) -> pd.Series:
        """sample_id → the duplicate group it is in (decided or not), the gravest where several."""
        flags = open_flags(self.tables.samples[self.tables.samples["status"].eq("ok")], self.tables.issues)
        flags = flags[flags["issue"].isin(KEEP_ONE) & flags["group"].notna()]
        order = flags["issue"].map({issue: n for n, issue in enumerate(KEEP_ONE)})
        flags = flags.assign(order=order).sort_values(["sample_id", "order"]).drop_duplicates("sample_id")
        return flags.set_index("sample_id")["group"]

    # ---- questions -----------------------------------------------------------------------------

    def question(self, sample_id: str, issues: Collection[str] = ()) -> dict[str, Any] | None:
        """The queue's row about a sample as last ranked: of these issues first, else the most valuable."""
        rows = self._questions.get(sample_id, [])
        return next((row for row in rows if row["issue"] in issues), rows[0] if rows else None)

    def entry(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows that are one decision with this one; the one to keep stands first."""
        return self._entries[row["rank"]]

    def batch(self, n: int) -> list[str]:
        """The samples of the next `n` entries of the queue, most valuable first."""
        first = self.queue[self.queue["rank"] <= n]
        return list(dict.fromkeys(first["sample_id"]))

    def conflicts(self) -> list[str]:
        """Samples on which annotators differ and no verdict on the label stands; least certain first."""
        table = self.tables.consensus
        table = table[table["is_conflict"].astype("bool")]
        decided = self.decisions.loc[self.decisions["issue"].eq("label"), "sample_id"]
        is_known = self.samples.index.get_indexer(table["sample_id"]) >= 0  # `isin` makes a scalar of every value
        table = table[is_known & ~table["sample_id"].isin(decided)]
        return table.sort_values(["consensus_score", "sample_id"])["sample_id"].tolist()

    def votes(self, sample_id: str) -> list[str]:
        """What the annotators called it."""
        return list(self._votes.get(sample_id, []))

    # ---- verdicts ------------------------------------------------------------------------------

    def accept(self, sample_ids: Sequence[str], issues: Collection[str] = ()) -> list[str]:
        """Do as proposed; of a group the whole proposal. Returns the samples that were decided.

        Raises
        ------
        ReviewError : nothing is proposed for one of them; then nothing is recorded
        """
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for sample_id in sample_ids:
            row = self.question(sample_id, issues)
            if row is None:
                raise ReviewError(f"nothing is proposed for {sample_id}: choose keep, relabel or drop")
            for member in self.entry(row) if row["issue"] in KEEP_ONE else [row]:
                rows[member["sample_id"], member["issue"]] = member
        return self._record(
            [self._verdict(row, row["proposed_action"], row["suggested_label"]) for row in rows.values()]
        )

    def decide(
        self,
        sample_ids: Sequence[str],
        action: str,
        *,
        label: str | None = None,
        issues: Collection[str] = (),
        reason: str | None = None,
    ) -> list[str]:
        """One verdict for each sample, on the question that is open about it; on its label where there is none."""
        if action == "relabel" and label not in self.classes:
            raise ReviewError(f"there is no class {label!r}", f"one of {', '.join(self.classes)}")
        rows = [self._row(sample_id, action, issues) for sample_id in sample_ids]
        return self._record([self._verdict(row, action, label, reason) for row in rows])

    def keep_one(self, sample_id: str, issues: Collection[str] = KEEP_ONE) -> list[str]:
        """Keep this member of its duplicate group and drop the others."""
        members = self._group(sample_id, issues)
        return self._record([self._verdict(m, "keep" if m["sample_id"] == sample_id else "drop") for m in members])

    def keep_all(self, sample_id: str, issues: Collection[str] = KEEP_ONE) -> list[str]:
        """Keep every member of its duplicate group: they are no duplicates, or may stay."""
        return self._record([self._verdict(member, "keep") for member in self._group(sample_id, issues)])

    def labels_conflict(self, sample_id: str, label: str | None = None) -> list[str]:
        """The copies have different labels: relabel them all, or put the group off where nobody can tell.

        With a `label` the members that are called something else are relabelled, and the group stays open.
        """
        members = self._group(sample_id, KEEP_ONE)
        if label is None:
            return self._record([self._verdict(member, "unsure", reason=CONFLICT) for member in members])
        if label not in self.classes:
            raise ReviewError(f"there is no class {label!r}", f"one of {', '.join(self.classes)}")
        wrong = [member for member in members if plain(member["label"]) != label]
        rows = [{**member, "issue": "label", "probability": None, "score": None} for member in wrong]
        return self._record([self._verdict(row, "relabel", label, CONFLICT) for row in rows])

    def settle(self, sample_id: str, label: str, *, reason: str | None = None) -> list[str]:
        """Say what a sample is, as the third annotator where two differ: a relabel, or keep where it has that label."""
        if label not in self.classes:
            raise ReviewError(f"there is no class {label!r}", f"one of {', '.join(self.classes)}")
        row = self._row(sample_id, "relabel", ["label"])
        if row["issue"] != "label":
            row = {"sample_id": sample_id, "issue": "label", "label": self.samples.at[sample_id, "label"]}
        action = "keep" if plain(row["label"]) == label else "relabel"
        return self._record([self._verdict(row, action, label, reason, votes=self.votes(sample_id) or None)])

    def undo(self) -> list[str]:
        """Take back this person's last entry. Returns the samples concerned, none where there is nothing."""
        ids = self.ledger.undo(last=1, by=self.reviewer, reviewer=self.reviewer)
        with self._lock:
            history = self.ledger.history() if ids else empty("decisions")
            self.decisions = self._in_force()
        return history.loc[history["decision_id"].isin(ids), "sample_id"].drop_duplicates().tolist()

    def last_verdicts(self, sample_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """The latest verdict in force on each of these samples, where there is one."""
        with self._lock:
            rows = self.decisions[self.decisions["sample_id"].isin(sample_ids)].sort_values("decision_id")
        return {row["sample_id"]: row for row in rows.drop_duplicates("sample_id", keep="last").to_dict("records")}

    def counts(self) -> dict[str, int]:
        """Action → how many verdicts in force, those in bulk and of other reviewers included."""
        with self._lock:
            return {str(action): int(n) for action, n in self.decisions["action"].value_counts().sort_index().items()}

    def label_of(self, sample_id: str) -> str | None:
        """The label in force: that of the last relabel, else as given."""
        with self._lock:
            rows = self.decisions[self.decisions["sample_id"].eq(sample_id) & self.decisions["action"].eq("relabel")]
        given = self.samples["label"].get(sample_id)
        return str(rows["label"].iloc[-1]) if len(rows) else plain(given)

    # ---- inside --------------------------------------------------------------------------------

    def _in_force(self) -> InForce:
        reconciled = reconcile(self.ledger.current(), self.tables.samples, self.tables.pairs)
        return InForce(reconciled.decisions.sort_values("decision_id"))

    def _answered(self) -> InForce:
        """The decisions that empty the queue."""
        if not self.double:
            return self.decisions
        return InForce(self.decisions[self.decisions["reviewer"].eq(self.reviewer)])

    def _row(self, sample_id: str, action: str, issues: Collection[str]) -> dict[str, Any]:
        """The question that a verdict answers."""
        if sample_id not in self.samples.index:
            raise ReviewError(f"there is no sample {sample_id}", do="curate review again, after the last curate find")
        if row := self.question(sample_id, issues):
            return row
        before = self.last_verdicts([sample_id]).get(sample_id)
        label = self.samples.at[sample_id, "label"]
        return {"sample_id": sample_id, "issue": before["issue"] if before else "label", "label": label}

    def _group(self, sample_id: str, issues: Collection[str]) -> list[dict[str, Any]]:
        row = self.question(sample_id, issues)
        if row is None or row["issue"] not in KEEP_ONE or len(self.entry(row)) < 2:
            raise ReviewError(f"{sample_id} is in no open duplicate group")
        return self.entry(row)

    def _verdict(
        self, row: Mapping[str, Any], action: str, label: str | None = None, reason: str | None = None, **facts: Any
    ) -> dict[str, Any]:
        given, claimed, score = (row.get(name) for name in ("label", "probability", "score"))
        return {
            "sample_id": row["sample_id"],
            "sha256": self.samples.at[row["sample_id"], "sha256"],
            "issue": row["issue"],
            "action": action,
            "label": label if action == "relabel" else None,
            "reviewer": self.reviewer,
            "reason": reason,
            "evidence": evidence(probability=claimed, score=score, given_label=given, **facts),
        }

    def _record(self, verdicts: list[dict[str, Any]]) -> list[str]:
        """To the ledger first; one entry, which one undo takes back."""
        self.ledger.add(verdicts)
        with self._lock:
            self.decisions = self._in_force()
        return list(dict.fromkeys(verdict["sample_id"] for verdict in verdicts))


def gathered(keys: pd.Series, values: pd.Series) -> dict[str, list[str]]:
    """Each key's values, in their order. pandas' groupby takes far longer where the groups are many and small."""
    lists: dict[str, list[str]] = {}
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        lists.setdefault(key, []).append(value)
    return lists
