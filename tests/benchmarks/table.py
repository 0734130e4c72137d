"""Every task beside its peers, measured in one run, as one table. Run: make bench

    python tests/benchmarks/table.py                       everything: half an hour on two cores
    python tests/benchmarks/table.py pairs outliers        some of it

Reads the bench beside the checkout; truth is used for scoring alone. fastdup, CleanVision, imagededup and Datalab run
in an environment of their own, made once under --out; cleanlab, FAISS and FiftyOne's Brain come with curate. SelfClean
is run with --noncommercial alone (make bench BENCH=--noncommercial): its licence (CC BY-NC 4.0) allows no other use.
Prints each part as it is measured, and all of it at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import duplicate_quality
import label_quality
import loop
import outlier_quality
import pandas as pd
import peers
import quality_vs_cleanvision
import scale
import skimage
from bench import CIFAR

# datasets and pyarrow are for Datalab: later ones want another NumPy than fastdup
PEERS = (
    *("fastdup==2.54", "cleanvision==0.3.7", "imagededup==0.3.3.post2"),
    *("cleanlab[datalab]==2.9.0", "datasets==3.6.0", "pyarrow==19.0.1"),
)
SELFCLEAN = "selfclean==0.0.39"  # installed alone: it names an old transformers and tools of its developers, too
SELFCLEAN_NEEDS = ("loguru", "einops", "torchmetrics", "SciencePlots", "torchinfo", "seaborn")
COLUMNS = ["part", "task", "measure", "who", "figure"]
SCALES = (10_000, 30_000, 100_000)  # samples; more by scale.py
FACES = Path(skimage.__file__).parent / "data" / "lfw_subset.npy"  # the wheel comes with FiftyOne


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="keeps what is made once")
    parser.add_argument("--noncommercial", action="store_true", help="install and run SelfClean too")
    parser.add_argument("--csv", type=Path, help="write the table there too")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    python = peers_python(given.out / "peers", given.noncommercial)
    place = SimpleNamespace(out=given.out, peers=python, selfclean=python if given.noncommercial else None)
    if len(given.parts) == 1:
        table = PARTS[given.parts[0]](place).assign(part=given.parts[0])[COLUMNS]
    else:
        table = pd.concat([apart(part, given) for part in given.parts])
    print(by_who(table), flush=True)
    if given.csv:
        table.to_csv(given.csv, index=False)


def apart(part: str, given: argparse.Namespace) -> pd.DataFrame:
    """One part in a process of its own: what a child takes at its peak counts from what its parent holds."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "table.csv"
        options = ["--out", str(given.out), "--csv", str(file), *(["--noncommercial"] if given.noncommercial else [])]
        subprocess.run([sys.executable, __file__, part, *options], check=True)
        return pd.read_csv(file, dtype=str)


def by_who(rows: pd.DataFrame) -> str:
    """One line for each measure: curate's figure, then each peer's."""
    lines = []
    for (part, task, measure), group in rows.groupby(["part", "task", "measure"], sort=False):
        figures = group.set_index("who")["figure"]
        others = ", ".join(f"{who} {figure}" for who, figure in figures.items() if who != "curate")
        lines.append({"part": part, "task": task, "measure": measure, "curate": figures.get("curate"), "peers": others})
    return pd.DataFrame(lines).to_string(index=False)


def peers_python(folder: Path, noncommercial: bool = False) -> str:
    """The interpreter of the peers' environment, which is made where there is none, or not this one."""
    python, made = folder / "bin" / "python", folder / "made"
    wanted = [*PEERS, *(SELFCLEAN_NEEDS if noncommercial else ())]
    if not made.exists() or made.read_text() != json.dumps(wanted):
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *wanted], check=True)
        if noncommercial:
            subprocess.run([*pip, "--no-deps", SELFCLEAN], check=True)
        made.write_text(json.dumps(wanted))
    return str(python)


# ---- parts: each returns rows of task, measure, who, figure ------------------------------------------------


def labels(place: SimpleNamespace) -> pd.DataFrame:
    errors, agreed = label_quality.tables(
        CIFAR, place.out, datalab_python=place.peers, selfclean_python=place.selfclean
    )
    found = [
        errors.rename(columns={"labels": "task"}),
        agreed.assign(task=agreed["people"].astype(str) + " annotators"),
    ]
    long = pd.concat([table.drop(columns="people", errors="ignore").melt(["task", "by"]) for table in found])
    long = long.rename(columns={"variable": "measure", "value": "figure"}).dropna(subset="figure")
    return long.assign(who=long["by"])


def pairs(place: SimpleNamespace) -> pd.DataFrame:
    table = duplicate_quality.near_table([96], place.peers)
    long = table.rename(index=lambda name: name.split(",")[0]).stack().rename("figure").reset_index()
    long.columns = ["who", "measure", "figure"]
    return long.replace({"who": {"cosine": "cosine (FiftyOne Brain, SelfClean)"}}).assign(
        task="117 judged test-train pairs",
        measure="recall among the first " + long["measure"].map("{:,}".format),
        figure=long["figure"].map("{:.3f}".format),
    )


def copies(place: SimpleNamespace) -> pd.DataFrame:
    table = duplicate_quality.copies_table(place.peers)
    table.loc["mean of all kinds"] = table.mean()
    long = table.stack().rename("figure").reset_index()
    long.columns = ["task", "who", "figure"]
    return long.assign(measure="recall at 1 false pair in 10,000", figure=long["figure"].map("{:.2f}".format))


def outliers(place: SimpleNamespace) -> pd.DataFrame:
    embedded = outlier_quality.embeddings_of_all(place.out, FACES)
    table = outlier_quality.table(embedded, place.selfclean).set_index("mix")
    others = [*(f"{k} neighbours" for k in outlier_quality.COUNTS), *(["SelfClean"] if place.selfclean else [])]
    scores = table[["outlier", *others, "isolation_forest"]]
    long = scores.rename(columns={"outlier": "curate"}).stack().rename("figure").reset_index()
    long.columns = ["task", "who", "figure"]
    return long.assign(measure="AUROC / AP")


def quality(place: SimpleNamespace) -> pd.DataFrame:
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, make in (("bench", peers.small), ("256 photographs", peers.photographs)):
            folder = Path(scratch) / name
            make(folder)
            table = quality_vs_cleanvision.compared(folder, place.peers)[0]
            found.append(table.assign(task=table["issue"] + ", " + name, figure=table["rank correlation"].astype(str)))
    return pd.concat(found).assign(measure="rank correlation with CleanVision", who="curate")


def speed(place: SimpleNamespace) -> pd.DataFrame:
    """By processes that hold little themselves: a part that has imported torch would count as a small peer's peak."""
    found = []
    tasks = {
        "small": "10,000 images",
        "sixfold": "60,000 images",
        "photos": "2,560 photographs",
        "rewritten": "2,560 photographs in other bytes",
    }
    with tempfile.TemporaryDirectory() as scratch:
        for what, task in tasks.items():
            command = [sys.executable, peers.__file__, what, "--peers", place.peers, "--csv", f"{scratch}/table.csv"]
            subprocess.run(command, check=True, stdout=sys.stderr)
            table = pd.read_csv(f"{scratch}/table.csv", index_col="what")
            long = table[["seconds", "cpu", "peak GiB"]].stack().rename("figure").reset_index()
            long.columns = ["who", "measure", "figure"]
            found.append(long.assign(task=f"{task}, all of it", figure=long["figure"].map("{:.2f}".format)))
            if what not in peers.SMALL_KINDS:
                for who in (["curate"], list(peers.SEQUENCE)):
                    row = {"who": ", ".join(who), "figure": f"{table.loc[who, 'seconds'].sum():.2f}"}
                    found.append(pd.DataFrame([row]).assign(task=f"{task}, all of it", measure="seconds in sequence"))
    return pd.concat(found)


def growth(place: SimpleNamespace) -> pd.DataFrame:
    """The finders alone, on synthetic samples."""
    rows = []
    for n in SCALES:
        command = [sys.executable, scale.__file__, str(n), "--one"]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        rows.append(json.loads(told))
    table = pd.DataFrame(rows)
    long = table.set_index("n")[["cpu", "rss GiB", "recall"]].stack().rename("figure").reset_index()
    long.columns = ["task", "measure", "figure"]
    slope = {"task": "slope", "measure": "log cpu on log N", "figure": f"{scale.slope(table['n'], table['cpu']):.2f}"}
    long["task"] = long["task"].map("{:,} synthetic samples".format)
    return pd.concat([long, pd.DataFrame([slope])]).assign(who="curate")


def whole_loop(place: SimpleNamespace) -> pd.DataFrame:
    rows = pd.DataFrame(loop.measured(place.out, annotators=2), columns=["measure", "figure"])
    return rows.assign(task="annotators 1 and 2", who="curate")


PARTS: dict[str, Callable[[SimpleNamespace], pd.DataFrame]] = {
    "labels": labels,
    "pairs": pairs,
    "copies": copies,
    "outliers": outliers,
    "quality": quality,
    "speed": speed,
    "growth": growth,
    "loop": whole_loop,
}


if __name__ == "__main__":
    main()
