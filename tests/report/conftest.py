"""Facts for a whole report: small, made by the stages' own functions where cheap, and hostile in every name."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.evaluate.scores import compare, score
from curate.ingest.annotators import agreement
from curate.ingest.splits import class_balance, split_proof
from curate.report.facts import ReportFacts
from curate.report.maps import embedding_map

HOSTILE = '<script>alert("1")</script>'
CLASSES = ["cat", "dog", f'"><img src=x onerror=alert(1)>{HOSTILE}']
PEOPLE = ["ann", f"bob {HOSTILE}"]
N = 120


@pytest.fixture(scope="session")
def facts() -> ReportFacts:
    """Everything that a report can show."""
    rng = np.random.default_rng(0)
    samples = make_samples(rng)
    issues, pairs = make_issues(samples)
    return ReportFacts(
        title=f"Pets {HOSTILE}",
        made="22 November 2025",
        version="0.1.0",
        samples=samples,
        row_problems=pd.DataFrame({"file": ["m.csv"], "row": [3], "image": [HOSTILE], "reason": ["is no image"]}),
        agreement=agreement(make_annotations(samples, rng), bootstraps=50).to_dict(),
        annotators=pd.DataFrame(
            {
                "annotator": PEOPLE,
                "quality": [0.9, 0.7],
                "n_annotations": [N, N],
                "agreement_with_consensus": [0.9, 0.8],
            }
        ),
        split_proof=split_proof(samples, np.arange(N)).to_dict(),
        balance=class_balance(samples["label"].iloc[:90], tolerance=0.3),
        classes=pd.DataFrame({"label": CLASSES, "n": [40, 40, 40], "is_odd": [True, False, False]}),
        issues=issues,
        pairs=pairs,
        embedding_map=embedding_map(
            rng.normal(size=(N, 8)).astype(np.float32),
            samples["sample_id"].tolist(),
            thumbs=rng.integers(0, 255, (N, 32, 32, 3), dtype=np.uint8),
        ),
        decisions=make_decisions(samples),
        versions=[
            {"version": 1, "parent": 0, "made": "2025-11-22T06:20:00+00:00", "counts": {"samples": 110, "dropped": 3}}
        ],
        compared=(0, 1),
        diff=make_diff(samples),
        comparison=make_comparison(samples, rng)[0],
        predictions=make_comparison(samples, rng)[1],
        planted=pd.DataFrame(
            {"defect": ["exact_copy"], "looked_for_by": ["exact_duplicate"], "planted": [30], "found": [29]}
            | {"flagged": [61], "right": [58]}
        ),
        stages=[{"stage": f"scan {HOSTILE}", "made": "2025-11-22T06:00:00", "images": N, "seconds": 95.0}],
        thumb=thumb,
    )


@pytest.fixture(scope="session")
def bare() -> Callable[..., ReportFacts]:
    """Facts with a title and nothing else but what is given."""
    return lambda **known: ReportFacts(title="Pets", made="today", version="0.1.0", **known)


def thumb(sample_id: str) -> bytes:
    shade = sum(sample_id.encode()) % 200
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, 120, 255 - shade)).save(buffer, "JPEG")
    return buffer.getvalue()


def make_samples(rng: np.random.Generator) -> pd.DataFrame:
    names = [f"images/{n:03d}.jpg" for n in range(N - 1)] + [f"images/{HOSTILE}.jpg"]
    status = ["ok"] * (N - 1) + ["truncated"]
    return pd.DataFrame(
        {
            "sample_id": names,
            "label": [CLASSES[n % 3] for n in range(N)],
            "split": ["test" if n % 4 == 0 else "train" for n in range(N)],
            "width": np.where(np.array(status) == "ok", 32.0, np.nan),
            "height": np.where(np.array(status) == "ok", 24.0, np.nan),
            "mode": ["RGB"] * (N - 1) + [None],
            "bytes": rng.integers(500, 900, N),
            "status": status,
            "error": [None] * (N - 1) + [f"ends early {HOSTILE}"],
        }
    )


def make_annotations(samples: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    votes = [
        pd.DataFrame(
            {
                "sample_id": samples["sample_id"],
                "annotator": person,
                "label": samples["label"].where(rng.random(N) > wrong, CLASSES[0]),
            }
        )
        for person, wrong in zip(PEOPLE, (0.1, 0.3), strict=True)
    ]
    return pd.concat(votes, ignore_index=True)


def make_issues(samples: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Label issues 1 to 5, the worst first; twins 10+11 (leak), 21+22 (near); the last row unreadable."""
    ids, rows = samples["sample_id"], np.arange(N)
    label = pd.DataFrame({"sample_id": ids, "is_label_issue": (rows >= 1) & (rows <= 5)})
    label["label_score"] = np.where(label["is_label_issue"], rows / 100, 0.9)
    label["label_probability"] = 1 - label["label_score"]
    label["suggested_label"] = CLASSES[2]
    leak = flags(ids, "leak", [11, 12])
    near = flags(ids, "near_duplicate", [11, 12, 21, 22])
    broken = flags(ids, "unreadable", [N - 1])
    pairs = pd.DataFrame(
        {
            "sample_id_a": [ids[11], ids[21]],
            "sample_id_b": [ids[12], ids[22]],
            "similarity": [0.98, 0.95],
            "agreement": [0.98, 0.95],
            "kind": "near",
            "between": ["test-train", "train-train"],
        }
    )
    return {"label": label, "leak": leak, "near_duplicate": near, "quality": broken}, pairs


def flags(ids: pd.Series, issue: str, rows: list[int]) -> pd.DataFrame:
    is_flagged = np.isin(np.arange(len(ids)), rows)
    return pd.DataFrame({"sample_id": ids, f"is_{issue}_issue": is_flagged, f"{issue}_score": 1.0 - is_flagged})


def make_decisions(samples: pd.DataFrame) -> pd.DataFrame:
    ids = samples["sample_id"]
    return pd.DataFrame(
        {
            "decision_id": [1, 2, 3],
            "sample_id": [ids[1], ids[2], ids[12]],
            "issue": ["label", "label", "leak"],
            "action": ["relabel", "keep", "drop"],
            "reviewer": ["maria", "maria", f"bulk {HOSTILE}"],
            "time": ["2025-11-22T06:10:00Z", "2025-11-22T06:11:00Z", "2025-11-22T06:12:00Z"],
            "evidence": [None, None, '{"bulk": "leak above 0.5"}'],
        }
    )


def make_diff(samples: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample_id": samples["sample_id"].iloc[[1, 12]],
            "change": ["relabelled", "removed"],
            "label_before": CLASSES[1:],
            "label_after": [CLASSES[2], None],
            "split_before": "train",
            "split_after": ["train", None],
            "reason": [None, f"same shot {HOSTILE}"],
        }
    )


def make_comparison(samples: pd.DataFrame, rng: np.random.Generator) -> tuple[dict, pd.DataFrame]:
    test = samples[samples["split"] == "test"]
    labels = test["label"].to_numpy(dtype=object)
    guesses = {
        arm: np.where(rng.random(len(test)) < right, labels, CLASSES[0])
        for arm, right in {"before": 0.5, "after": 0.9, "control": 0.5}.items()
    }
    told = {
        "preset": "quick",
        "classes": CLASSES,
        "n_test": len(test),
        "notes": [f"a note {HOSTILE}"],
        "arms": {arm: {"n_train": 90, **score(labels, said, CLASSES).to_dict()} for arm, said in guesses.items()},
        "differences": {
            "after - before": compare(labels, guesses["before"], guesses["after"], CLASSES).to_dict(),
            "after - control": compare(labels, guesses["control"], guesses["after"], CLASSES).to_dict(),
        },
    }
    predictions = pd.DataFrame({"sample_id": test["sample_id"], "label": labels, "confidence": 0.8})
    return told, predictions.assign(before=guesses["before"], after=guesses["after"])
