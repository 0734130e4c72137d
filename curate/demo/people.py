"""The two people of the demo, who label with known error rates."""

from __future__ import annotations

import numpy as np
import pandas as pd

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
LIKELIER = 0.7


def annotate(
    rows: pd.DataFrame, error_rates: dict[str, float], rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each person answers, and which answers are planted mistakes (as rows of planted.csv).

    Of the digits that can be opened exactly the given share is mistaken. Where there is no digit, they guess.
    """
    asked = rows[rows["split"] != "test"]
    can_err = asked.index[asked["truth"].notna() & ~asked["defect"].isin(["truncated", "unreadable"])]
    answers, mistakes = [], []
    for person, rate in error_rates.items():
        said = asked["truth"].copy()
        guessed = said.isna()
        said[guessed] = rng.integers(0, 10, guessed.sum()).astype(str)
        wrong = rng.choice(can_err, round(rate * len(can_err)), replace=False)
        said[wrong] = [_mistake(digit, rng) for digit in asked.loc[wrong, "truth"]]
        answers.append(pd.DataFrame({"image": asked["sample_id"], "annotator": person, "label": said}))
        detail = asked["truth"][wrong] + " called " + said[wrong]
        ids = asked.loc[wrong, "sample_id"]
        mistakes.append(pd.DataFrame({"sample_id": ids, "defect": f"mistake_{person}", "detail": detail}))
    by_image = pd.concat(answers).sort_values(["image", "annotator"], ignore_index=True)
    return by_image, pd.concat(mistakes).sort_values(["defect", "sample_id"], ignore_index=True)


def _mistake(digit: str, rng: np.random.Generator) -> str:
    likelier, other = CONFUSED[int(digit)]
    return str(likelier if rng.random() < LIKELIER else other)
