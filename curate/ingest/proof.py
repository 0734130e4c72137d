"""The proof of a split, in numbers: counts, largest class deviation, groups that straddle; and class balance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curate.schema import SPLITS

PER_SPLIT = ["split", "n", "share", "largest_deviation", "label", "n_absent"]
NAMED = 5  # classes or groups that the text names before it counts the rest


@dataclass(frozen=True)
class SplitProof:
    """What a split holds.

    Attributes
    ----------
    counts : index label, columns train, val, test, unset: samples
    per_split : split, n, share (of all samples), largest_deviation (of a class's share in this split from
        its share in all splits, 0 to 1), label (the class of that deviation), n_absent (classes not in it)
    straddling : group, n, splits (such as 'test, train'): groups found in more than one split
    """

    counts: pd.DataFrame
    per_split: pd.DataFrame
    straddling: pd.DataFrame

    @property
    def n_straddling(self) -> int:
        return len(self.straddling)

    def to_dict(self) -> dict[str, Any]:
        """Everything as lists and dicts that JSON can hold."""
        return {
            "counts": self.counts.reset_index().to_dict(orient="records"),
            "per_split": self.per_split.astype(object).where(self.per_split.notna(), None).to_dict(orient="records"),
            "n_straddling": self.n_straddling,
        }

    def to_text(self) -> str:
        """A line per split and one on groups, for people."""
        lines = []
        for split in self.per_split.to_dict(orient="records"):
            line = f"{split['split']:<6}{split['n']:>9,} images, {split['share']:6.1%}"
            if isinstance(split["label"], str):
                line += f"; largest class deviation {100 * split['largest_deviation']:.2f} points ({split['label']})"
            lines.append(line + self._absent(split["split"]))
        if not self.n_straddling:
            return "\n".join([*lines, "no group is in more than one split"])
        examples = self.straddling.head(NAMED).to_dict(orient="records")
        named = ", ".join(f"group {e['group']} ({e['splits']}, {e['n']} images)" for e in examples)
        count = "1 group is" if self.n_straddling == 1 else f"{self.n_straddling:,} groups are"
        more = ", …" if self.n_straddling > NAMED else ""
        told = f"{count} in more than one split: {named}{more}"
        return "\n".join([*lines, told, "  to see the pictures: curate issues --issue leak"])

    def _absent(self, split: str) -> str:
        absent = [str(label) for label in self.counts.index[self.counts[split] == 0]]
        if not absent:
            return ""
        more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
        return f"; without {', '.join(absent[:NAMED])}{more}"


def split_proof(samples: pd.DataFrame, groups: np.ndarray) -> SplitProof:
    """Count what each split holds, and which groups straddle.

    Parameters
    ----------
    samples : sample_id, label, split
    groups : (N,) int, the group of each sample
    """
    split = samples["split"].astype(object).where(samples["split"].notna(), "unset")
    used = [name for name in SPLITS if (split == name).any()]
    columns = used + (["unset"] if (split == "unset").any() else [])
    counts = pd.crosstab(samples["label"], split.rename(None)).reindex(columns=columns, fill_value=0)
    per_split = pd.DataFrame([_of_one_split(counts, split, name) for name in used], columns=PER_SPLIT)
    return SplitProof(counts.rename_axis(columns=None), per_split, _straddling(split, np.asarray(groups)))


def _of_one_split(counts: pd.DataFrame, split: pd.Series, name: str) -> tuple[Any, ...]:
    n = int((split == name).sum())
    everywhere = counts.sum(axis=1) / max(1, counts.to_numpy().sum())
    here = counts[name] / max(1, counts[name].sum())
    deviation = (here - everywhere).abs().round(12)  # equal ones are equal, and the first by name is named
    if deviation.empty or not counts[name].any():
        return name, n, n / len(split), np.nan, None, int((counts[name] == 0).sum())
    return name, n, n / len(split), float(deviation.max()), deviation.idxmax(), int((counts[name] == 0).sum())


def _straddling(split: pd.Series, groups: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame({"group": groups, "split": split.to_numpy()})
    table = table[table["split"] != "unset"]
    places = table.drop_duplicates().sort_values(["group", "split"])
    several = places[places.duplicated("group", keep=False)]
    splits = several.groupby("group")["split"].agg(", ".join)
    sizes = table[table["group"].isin(splits.index)].groupby("group").size()
    return pd.DataFrame({"n": sizes, "splits": splits}).rename_axis("group").reset_index()


def class_balance(labels: pd.Series, *, tolerance: float) -> pd.DataFrame:
    """Name the classes that have far fewer samples than the largest, and say what to do.

    Parameters
    ----------
    labels : (N,) class names; nulls are left aside
    tolerance : share of the largest count that a class may lack, 0 to 1 (0.30 is the 30% rule)

    Returns
    -------
    label, n, ratio (n over the largest class's n, 0 to 1), is_small, advice (empty where not small);
    largest class first
    """
    n = labels.value_counts()
    table = pd.DataFrame({"label": pd.Series(n.index, dtype="str"), "n": n.to_numpy(dtype=np.int64)})
    table = table.sort_values(["n", "label"], ascending=[False, True], ignore_index=True)
    largest = int(table["n"].max()) if len(table) else 0
    table["ratio"] = table["n"] / max(1, largest)
    needed = np.ceil((1 - tolerance) * largest - 1e-9).astype(int)
    table["is_small"] = table["n"] < needed
    advice = [_advice(count, needed, largest) if count < needed else "" for count in table["n"]]
    table["advice"] = pd.Series(advice, dtype="str")
    return table


def _advice(n: int, needed: int, largest: int) -> str:
    weight = largest / n
    return (
        f"add {needed - n:,} more to come within the limit; until then weight each of its images {weight:.1f} times "
        f"in training, or show it {weight:.1f} times as often, and judge by macro F1"
    )
