"""The two people of the demo, who label with known error rates, and the reviewer, who knows the truth."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from curate.decisions.decision import evidence
from curate.issues.kinds import KEEP_ONE

# what a digit is taken for, the likelier first; mistakes of people are not spread evenly
CONFUSED = {
    0: (6, 8),
    1: (7, 4),
    2: (3, 7),
    3: (8, 5),
    4: (9, 1),
    5: (3, 6),
    6: (0, 5),
    7: (1, 9),
    8: (3, 9),
    9: (4, 7),
}
LIKELIER = 0.7  # P(of the two digits that a digit is taken for, the likelier); drawn by hand for the demo
DAMAGED = ("dark", "bright", "blurred")
MISTAUGHT = {"3": "8", "7": "1", "9": "4"}  # what both call some of these digits, as if taught so


def annotate(
    rows: pd.DataFrame, agreed: int, error_rates: dict[str, float], rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each person answers, and which answers are planted mistakes (as rows of planted.csv).

    Of the digits that can be opened, `agreed` are called the same wrong name by both, which no disagreement
    betrays; of the others each person mistakes exactly their share. Where there is no digit, they guess.
    """
    asked = rows[rows["split"] != "test"]
    can_err = asked[asked["truth"].notna() & ~asked["defect"].isin(["truncated", "unreadable"])]
    both = rng.choice(can_err.index[can_err["truth"].isin(MISTAUGHT)], agreed, replace=False)
    common = asked["truth"].copy()
    common[both] = common[both].map(MISTAUGHT)
    answers, mistakes = [], [_mistakes(asked.loc[both], "agreed_mistake", common[both])]
    for person, rate in error_rates.items():
        said = common.copy()
        guessed = said.isna()
        said[guessed] = rng.integers(0, 10, guessed.sum()).astype(str)
        wrong = rng.choice(can_err.index.difference(both), round(rate * len(can_err)), replace=False)
        said[wrong] = [_taken_for(digit, rng) for digit in asked.loc[wrong, "truth"]]
        answers.append(pd.DataFrame({"image": asked["sample_id"], "annotator": person, "label": said}))
        mistakes.append(_mistakes(asked.loc[wrong], f"mistake_{person}", said[wrong]))
    by_image = pd.concat(answers).sort_values(["image", "annotator"], ignore_index=True)
    return by_image, pd.concat(mistakes).sort_values(["defect", "sample_id"], ignore_index=True)


def review(queue: pd.DataFrame, defects: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """What a reviewer who sees each picture for what it is answers to the rows of the queue.

    A digit with a wrong label gets the right one; what shows no digit goes; of true copies and of damaged
    pictures the proposal is accepted; whatever was flagged wrongly is kept.

    Parameters
    ----------
    queue : table QUEUE
    defects, truth : those of `Planted`

    Returns
    -------
    Rows for `Ledger.add`: sample_id, issue, action, label, reason, evidence
    """
    digit = truth.set_index("sample_id")["label"].to_dict()
    answers = []
    for _, asked_together in queue.groupby("rank"):
        right = _rightly_flagged(asked_together, defects)
        answers += [_answer(row, digit[row["sample_id"]], right) for row in asked_together.to_dict("records")]
    return pd.DataFrame(answers, columns=["sample_id", "issue", "action", "label", "reason", "evidence"])


def _rightly_flagged(asked_together: pd.DataFrame, defects: pd.DataFrame) -> set[str]:
    """The samples of one question that are true copies of each other, or damaged."""
    asked = set(asked_together["sample_id"])
    if asked_together["issue"].iloc[0] in KEEP_ONE:
        twins = defects[defects["sample_id"].isin(asked) & defects["twin"].isin(asked)]
        return set(twins["sample_id"]) | set(twins["twin"])
    return asked & set(defects.loc[defects["defect"].isin(DAMAGED), "sample_id"])


def _answer(row: dict[Hashable, Any], digit: Any, right: set[str]) -> dict[str, Any]:
    sample, issue, label, action, reason = row["sample_id"], row["issue"], None, "keep", "nothing wrong"
    if pd.isna(digit):
        action, reason = "drop", "shows no digit"
    elif issue == "label" and row["label"] != digit:
        action, label, reason = "relabel", digit, f"shows a {digit}"
    elif issue != "label" and sample in right:
        action, reason = row["proposed_action"], row["reason"]
    told = evidence(probability=row["probability"], score=row["score"], given_label=row["label"])
    return {"sample_id": sample, "issue": issue, "action": action, "label": label, "reason": reason, "evidence": told}


def _mistakes(rows: pd.DataFrame, defect: str, said: pd.Series) -> pd.DataFrame:
    detail = rows["truth"] + " called " + said
    return pd.DataFrame({"sample_id": rows["sample_id"], "defect": defect, "detail": detail})


def _taken_for(digit: str, rng: np.random.Generator) -> str:
    likelier, other = CONFUSED[int(digit)]
    return str(likelier if rng.random() < LIKELIER else other)
