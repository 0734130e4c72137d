"""The ledger against a plain dict, and against SIGKILL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from curate.decisions.ledger import Ledger
from curate.errors import LedgerError

IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # thousands of flushes to disk take long
VERDICTS = st.builds(
    lambda sample, sha256, issue, action, reviewer: {
        "sample_id": sample,
        "sha256": sha256,
        "issue": issue,
        "action": action,
        "reviewer": reviewer,
        "label": "dog" if action == "relabel" else None,
    },
    st.sampled_from(["a", "b", "ü/ c"]),
    st.sampled_from([None, "X", "Y"]),
    st.sampled_from(["label", "outlier"]),
    st.sampled_from(["keep", "relabel", "drop", "unsure"]),
    st.sampled_from(["ann", "bob"]),
)


class LedgerAgainstDict(RuleBasedStateMachine):
    """The model: a list of (entry, verdict) by id, and the set of ids that were undone."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=IN_MEMORY)
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite")
        self.rows: dict[int, tuple[int, dict[str, str | None]]] = {}
        self.undone: set[int] = set()
        self.length = 0  # of the history

    @property
    def standing(self) -> list[int]:
        return [number for number in self.rows if number not in self.undone]

    @rule(verdicts=st.lists(VERDICTS, min_size=1, max_size=4))
    def add(self, verdicts: list[dict[str, str | None]]) -> None:
        entry = self.length + 1
        for number, verdict in zip(self.ledger.add(verdicts), verdicts, strict=True):
            self.rows[number] = (entry, verdict)
        self.length += len(verdicts)

    @precondition(lambda self: self.standing)
    @rule(data=st.data())
    def undo_some(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(self.standing), min_size=1, unique=True))
        assert self.ledger.undo(ids, reviewer="ann") == sorted(ids)
        self.undone |= set(ids)
        self.length += len(ids)

    @precondition(lambda self: self.rows)
    @rule(last=st.integers(1, 3), by=st.sampled_from([None, "ann", "bob"]))
    def undo_last(self, last: int, by: str | None) -> None:
        theirs = [number for number in self.standing if by in (None, self.rows[number][1]["reviewer"])]
        entries = sorted({self.rows[number][0] for number in theirs})[-last:]
        wanted = [number for number in theirs if self.rows[number][0] in entries]
        assert self.ledger.undo(last=last, by=by, reviewer="ann") == wanted
        self.undone |= set(wanted)
        self.length += len(wanted)

    @precondition(lambda self: self.undone)
    @rule(data=st.data())
    def undo_twice(self, data: st.DataObject) -> None:
        with pytest.raises(LedgerError):
            self.ledger.undo([data.draw(st.sampled_from(sorted(self.undone)))], reviewer="ann")

    @rule(verdict=VERDICTS)
    def add_with_a_fault(self, verdict: dict[str, str | None]) -> None:
        with pytest.raises(LedgerError):
            self.ledger.add([verdict, {**verdict, "reviewer": ""}])

    @rule()
    def close(self) -> None:
        self.ledger.close()

    @invariant()
    def says_what_the_model_says(self) -> None:
        model = {}
        for number in self.standing:
            verdict = self.rows[number][1]
            superseded = [None, verdict["sha256"]] if verdict["sha256"] else [None, "X", "Y"]
            for sha256 in superseded:
                model.pop((verdict["sample_id"], sha256, verdict["issue"]), None)
            said = (number, verdict["action"], verdict["label"])
            model[verdict["sample_id"], verdict["sha256"], verdict["issue"]] = said
        current = self.ledger.current().astype("object").replace({np.nan: None})
        found = {
            (row.sample_id, row.sha256, row.issue): (row.decision_id, row.action, row.label)
            for row in current.itertuples()
        }
        assert found == model
        history = self.ledger.history()
        assert len(history) == self.length
        assert set(history.loc[history["undone"], "decision_id"]) == self.undone

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()


LedgerAgainstDict.TestCase.settings = settings(max_examples=15, stateful_step_count=10, deadline=None)
TestLedgerAgainstDict = LedgerAgainstDict.TestCase


# One process forks victims that add decisions as fast as they can and say each id once `add` returned it.
KILLER = """
import json, os, random, signal, sys, time
from curate.decisions.ledger import Ledger

def victim(path, life, pipe):
    with Ledger(path) as ledger:
        number = 0
        while True:
            size = 1 + number % 3
            rows = [{"sample_id": f"{life}/{number + k}", "issue": "label", "action": "keep", "reviewer": "ann"}
                    for k in range(size)]
            for row, decision_id in zip(rows, ledger.add(rows)):
                os.write(pipe, f"{decision_id} {row['sample_id']}\\n".encode())
            number += size

random.seed(int(sys.argv[2]))
acknowledged = []
for life in range(30):
    path = f"{sys.argv[1]}/ledger{life % 3}.sqlite"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        victim(path, life, writing)
    os.close(writing)
    time.sleep(random.choice([0.002, 0.02, 0.2]) * random.random())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        whole = said.read().rpartition("\\n")[0]
    acknowledged += [[life % 3, *line.split()] for line in whole.splitlines()]
print(json.dumps(acknowledged))
"""


def test_thirty_kills_lose_no_decision_that_was_acknowledged(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", KILLER, tmp_path, "0"]
    acknowledged = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(acknowledged) > 30
    for number in range(3):
        with Ledger(tmp_path / f"ledger{number}.sqlite") as ledger:
            kept = ledger.current().set_index("decision_id")["sample_id"].to_dict()
            # a call is one transaction: its one, two or three rows are all there, or none
            sizes = ledger.history().groupby("entry").size()
        said = {int(decision): sample for which, decision, sample in acknowledged if which == number}
        assert said.items() <= kept.items()
        assert sizes.isin([1, 2, 3]).all()
        assert len(kept) - len(said) <= 10 * 3  # at most the one call in flight per kill
