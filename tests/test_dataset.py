"""A workspace from Python: a method for every command, tables as results, and what a notebook shows."""

from __future__ import annotations

import asyncio
import inspect
import re
import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import curate as command
from command import done, refused

import curate
from curate import config
from curate.artifacts import ACTIVE
from curate.cli import main
from curate.errors import CurateError, DamagedFile, InputError, LedgerError, ReviewError, WorkspaceError, WrongUsage

OWN_WORKSPACE = {"demo"}  # it makes one of its own
FOR_THE_TERMINAL = {"root", "as_json"}  # of all
A_TABLE_HAS_THEM_ALL = {("issues", "limit"), ("issues", "out"), ("diff", "limit")}
OTHERWISE = {  # option of a command → what stands for it in Python
    "fractions": "splitting",
    "split_seed": "splitting",
    "finetune": "predictions",
    "print_url": "browser",
    "limits": "limits",
    "file": "verdicts",
    "allow_new_classes": "new_classes",
    "out": "export",  # of apply
    "csv_out": "csv",
    "settings": "options",
}
HOSTILE = '<b onclick="x">3</b>'


@pytest.fixture(scope="module")
def first(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of digits whose class 3 has a name that is HTML."""
    root = tmp_path_factory.mktemp("dataset")
    files = sorted(Path(shutil.copytree(digits_folder, root / "images")).rglob("*.png"))
    labels = [HOSTILE if file.parent.name == "3" else file.parent.name for file in files]
    pd.DataFrame({"image": map(str, files), "label": labels}).to_csv(root / "manifest.csv", index=False)
    curate.open(root / "ws").ingest(root / "manifest.csv")
    return root


@pytest.fixture
def ds(first: Path, tmp_path: Path) -> curate.Dataset:
    return curate.open(shutil.copytree(first / "ws", tmp_path / "ws"))


def truth(ds: curate.Dataset) -> np.ndarray:
    """(N,) the digit that each picture shows."""
    from sklearn.datasets import load_digits

    numbers = ds.samples["sample_id"].map(lambda name: int(re.findall(r"\d{4}", name)[-1]))
    return load_digits().target[numbers.to_numpy()]


def wrong(ds: curate.Dataset) -> set[str]:
    given = ds.samples["label"].replace(HOSTILE, "3").astype(int)
    return set(ds.samples.loc[given.ne(truth(ds)), "sample_id"])


def own_embeddings(ds: curate.Dataset) -> np.ndarray:
    noise = np.random.default_rng(0).normal(scale=0.1, size=(len(ds.samples), 10))
    return np.eye(10)[truth(ds)] + noise


def own_probs(ds: curate.Dataset) -> pd.DataFrame:
    probs = 0.9 * np.eye(10)[truth(ds)] + 0.01
    names = [HOSTILE if number == 3 else str(number) for number in range(10)]
    return pd.DataFrame(probs, index=ds.samples["sample_id"], columns=names)


# ---- methods and commands ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in main.commands if name not in OWN_WORKSPACE])
def test_every_command_has_a_method_that_takes_its_options(name: str) -> None:
    method = getattr(curate.Dataset, name)
    assert inspect.getdoc(method)
    options = {field.name for kind in vars(config).values() if is_dataclass(kind) for field in fields(kind)}
    known = {*inspect.signature(method).parameters, *options}
    for parameter in main.commands[name].params:
        if parameter.name not in known | FOR_THE_TERMINAL and (name, parameter.name) not in A_TABLE_HAS_THEM_ALL:
            assert OTHERWISE.get(parameter.name) in known, f"curate {name}: {parameter.name} has no place in Python"


def test_the_loop_goes_from_issues_to_a_report(ds: curate.Dataset, tmp_path: Path) -> None:
    assert set(ds.status()["state"]) <= {"done", "never run"}
    flagged = ds.issues("label")
    decided = ds.decide(issue="label", above=0.9, action="relabel", reviewer="ann")
    assert 0 < len(decided.recorded) <= len(flagged)
    assert ds.apply(dry_run=True).version is None
    made = ds.apply(csv=tmp_path / "v1.csv", class_cap=0.5)
    assert made.version == 1 and (tmp_path / "v1.csv").exists()
    assert ds.diff()["change"].eq("relabelled").sum() == made.counts["relabelled"] > 0
    assert ds.report(tmp_path / "page.html").stat().st_size > 10_000
    assert ds.undo(last=1) == decided.recorded
    assert ds.apply().version == 2


def test_verdicts_come_from_a_table_or_from_a_file(ds: curate.Dataset) -> None:
    verdicts = ds.issues("label").head(2)[["sample_id"]].assign(issue="label", action="keep")
    assert len(ds.decide(verdicts, reviewer="ann").recorded) == 2
    page = ds.review("csv", issue="label", limit=5)
    assert page is not None and page.out.exists()
    with pytest.raises(LedgerError, match="holds no verdict"):
        ds.decide(page.out, reviewer="ann")
    assert ds.review().out.suffix == ".html"


def test_a_method_refuses_what_its_command_refuses(ds: curate.Dataset) -> None:
    with pytest.raises(WrongUsage, match="issue with above and action"):
        ds.decide(issue="label")
    with pytest.raises(WrongUsage, match="issue with above and action"):
        ds.decide("file.csv", issue="label", above=0.5, action="keep")
    with pytest.raises(WrongUsage, match="last or ids"):
        ds.undo()
    with pytest.raises(WrongUsage, match="form is 'pdf'"):
        ds.review("pdf")
    with pytest.raises(InputError, match="no option 'epoch'.*"):
        ds.retrain(epoch=3)
    with pytest.raises(InputError, match="of type EmbedOptions"):
        ds.find(curate.EmbedOptions())
    with pytest.raises(CurateError, match="no issue 'lable'"):
        ds.show("lable")


def test_the_app_is_not_served_from_inside_a_notebook(ds: curate.Dataset) -> None:
    async def cell() -> None:
        ds.review("app")

    with pytest.raises(ReviewError, match="curate review -w"):
        asyncio.run(cell())


def test_opening_makes_nothing_and_ingest_makes_the_workspace(digits_folder: Path, tmp_path: Path) -> None:
    ds = curate.open(tmp_path / "new")
    assert not (tmp_path / "new").exists() and "nothing ingested yet" in repr(ds)
    assert "ds.ingest" in ds._repr_html_()
    for use in (ds.issues, ds.status, ds.apply, ds.find, lambda: ds.samples):
        with pytest.raises(WorkspaceError, match="no workspace at"):
            use()
    for refused_path in (lambda: curate.open(None), lambda: ds.ingest(3), lambda: ds.ingest("x", annotations=[3])):
        with pytest.raises(InputError, match="expected: a path"):
            refused_path()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").touch()
    with pytest.raises(WorkspaceError, match="holds files and is not a workspace"):
        curate.open(tmp_path / "photos")


# ---- tables ------------------------------------------------------------------------------------------


def test_issues_are_one_row_per_sample_as_cleanlab_has_them(ds: curate.Dataset, tmp_path: Path) -> None:
    table = ds.issues()
    assert table["sample_id"].tolist() == ds.samples["sample_id"].tolist()
    flags = [name for name in table if name.startswith("is_")]
    assert list(table) == ["sample_id", *(n for f in flags for n in (f, f"{f[3:-6]}_score"))] and len(flags) > 12
    assert all(table[flag].dtype == bool for flag in flags)
    assert table["is_label_issue"].sum() == len(ds.issues("label"))
    assert len(ds.issues("label", everything=True)) == len(table)
    counts = ds.count_issues().set_index("issue")["flagged"]
    assert all(table[flag].sum() == counts[flag[3:-6]] for flag in flags)
    done("issues", "-w", ds.root, "--out", tmp_path / "all.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "all.parquet"), table)
    assert "flagged" in done("issues", "-w", ds.root).splitlines()[0]


def test_a_gate_is_a_table(ds: curate.Dataset) -> None:
    assert ds.check("label=0", "label=100%")["ok"].tolist() == [False, True]


# ---- in a notebook -----------------------------------------------------------------------------------


def test_thumbnails_stand_beside_their_evidence_and_ask_the_network_for_nothing(ds: curate.Dataset) -> None:
    shown = ds.show("label", n=7)
    html = shown._repr_html_()
    assert len(shown.table) == html.count('src="data:image/png;base64,') == 7
    assert all("looks like" in line or "probably wrong" in line for line in shown.table["evidence"])
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []
    twins = ds.show("exact_duplicate", n=4)
    assert twins.html.count("<img") == 8 and twins.table["nearest_id"].notna().all()


def test_a_label_that_is_html_stays_text(ds: curate.Dataset) -> None:
    rows = ds.issues("label")
    assert HOSTILE in set(rows["given_label"]) | set(rows["suggested_label"])
    html = ds.show("label", n=len(rows)).html
    assert HOSTILE not in html and "&lt;b onclick=&quot;x&quot;&gt;3&lt;/b&gt;" in html


def test_thumbnails_come_from_the_store_so_that_the_originals_may_be_elsewhere(first: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            file = tmp_path / "images" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            from PIL import Image

            Image.new("RGB", (40, 40), (3 + number, 2, 2)).save(file)
    ds = curate.open(tmp_path / "ws")
    ds.ingest(tmp_path / "images")
    shutil.rmtree(tmp_path / "images")
    assert ds.show("dark", n=3).html.count("<img") == 3


@pytest.mark.parametrize("issue", ["unreadable", "class_imbalance", "blurry"])
def test_issues_that_nobody_is_asked_about_or_that_nothing_has_can_be_shown(ds: curate.Dataset, issue: str) -> None:
    assert f"of {len(ds.issues(issue)):,} flagged" in ds.show(issue).html


def test_a_data_set_shows_itself_in_a_few_lines(ds: curate.Dataset) -> None:
    html = ds._repr_html_()
    assert "405 samples, 10 classes" in html and "exact duplicate" in html and "train" in html
    assert repr(ds) == f"Dataset({ds.root}): 405 samples, 10 classes"


# ---- embeddings and probabilities of one's own -----------------------------------------------------------


def test_own_embeddings_are_used_remembered_and_forgotten(ds: curate.Dataset) -> None:
    before = {name: ds.workspace.read(name) for name in ("label", "outlier", "near_duplicate")}
    order = np.random.default_rng(1).permutation(len(ds.samples))
    given, paths = own_embeddings(ds)[order], ds.samples["path"].to_numpy()[order]
    summary = ds.find(embeddings=given, ids=paths)
    assert summary.own == ["embeddings"] and "your own embeddings" in summary.to_text()
    assert "405 rows from an array" in ds.status().set_index("stage")["detail"]["own embeddings"]
    assert set(ds.issues("label")["sample_id"]) == wrong(ds)
    made = ds.workspace.file_of("label").stat().st_mtime_ns
    ds.find()
    assert ds.workspace.file_of("label").stat().st_mtime_ns == made
    assert set(ds.issues("label")["sample_id"]) == wrong(ds)
    assert ds.review().out.exists() and ds.report().exists()
    assert ds.find(forget=["embeddings"]).own == []
    for name, table in before.items():
        pd.testing.assert_frame_equal(ds.workspace.read(name), table)


def test_own_probabilities_judge_the_labels_until_they_are_forgotten(ds: curate.Dataset) -> None:
    before = ds.workspace.read("label")
    assert ds.find(pred_probs=own_probs(ds)).own == ["pred_probs"]
    assert set(ds.issues("label")["sample_id"]) == wrong(ds)
    ds.find()
    assert set(ds.issues("label")["sample_id"]) == wrong(ds)
    with pytest.raises(WrongUsage, match="forget pred-probs"):
        ds.find(predictions="trainer")
    ds.find(forget="pred_probs")
    pd.testing.assert_frame_equal(ds.workspace.read("label"), before)


@pytest.mark.parametrize("harm", ["cut off", "killed"])
def test_own_numbers_that_are_damaged_are_told_and_not_passed_over(ds: curate.Dataset, harm: str) -> None:
    ds.find(embeddings=own_embeddings(ds), ids=ds.samples["sample_id"], pred_probs=own_probs(ds))
    for name, kind in (("embeddings.npz", "embeddings"), ("pred_probs.parquet", "pred-probs")):
        file = ds.root / "own" / name
        if harm == "cut off":
            file.write_bytes(file.read_bytes()[:-100])
        else:
            file.with_name(f"{name}.json").unlink()
        ds.workspace.forget(ACTIVE)  # so that what rests on them is made again
        with pytest.raises(DamagedFile, match=f"curate find --forget {kind}"):
            ds.find()
        done("find", "-w", ds.root, "--forget", kind)


def test_own_numbers_have_their_provenance_and_no_pickle(ds: curate.Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", own_embeddings(ds))
    ds.find(embeddings=tmp_path / "mine.npy", ids=ds.samples["sample_id"])
    made = ds.workspace.sidecar("own/embeddings.npz")
    assert made["parameters"] == {"given": str(tmp_path / "mine.npy")} and made["counts"]["rows"] == 405
    with np.load(ds.root / "own" / "embeddings.npz", allow_pickle=False) as kept:
        assert kept["embeddings"].dtype == np.float16


def test_the_commands_take_files_of_them(ds: curate.Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", own_embeddings(ds))
    (tmp_path / "ids.txt").write_text("\n".join(ds.samples["sample_id"]))
    own_probs(ds).reset_index().to_csv(tmp_path / "p.csv", index=False)
    own_probs(ds).reset_index().to_parquet(tmp_path / "p.parquet")
    said = done("find", "-w", ds.root, "--embeddings", tmp_path / "e.npy", "--ids", tmp_path / "ids.txt")
    assert "by your own embeddings" in said
    said = done("find", "-w", ds.root, "--pred-probs", tmp_path / "p.csv", "--forget", "embeddings")
    assert "by your own pred_probs" in said
    from_csv = ds.workspace.read("label")
    done("find", "-w", ds.root, "--pred-probs", tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(ds.workspace.read("label"), from_csv)
    assert "by your own" not in done("find", "-w", ds.root, "--forget", "pred-probs")


def test_an_npy_of_probabilities_takes_ids_and_classes_from_files(ds: curate.Dataset, tmp_path: Path) -> None:
    probs = own_probs(ds)
    np.save(tmp_path / "p.npy", probs.to_numpy())
    np.save(tmp_path / "ids.npy", probs.index.to_numpy(dtype=str))
    (tmp_path / "classes.txt").write_text("\n".join(probs.columns))
    files = ("--pred-probs", tmp_path / "p.npy", "--ids", tmp_path / "ids.npy")
    done("find", "-w", ds.root, *files, "--classes", tmp_path / "classes.txt")
    assert set(ds.issues("label")["sample_id"]) == wrong(ds)


def test_ingest_takes_them_too_and_checks_files_before_it_looks_at_images(
    digits_folder: Path, first: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.npy").write_bytes(b"no array")
    manifest = first / "manifest.csv"
    said = refused(
        "ingest", manifest, "-w", tmp_path / "ws", "--embeddings", tmp_path / "broken.npy", "--ids", manifest
    )
    assert "broken.npy can't be read" in said and not (tmp_path / "ws").exists()
    ds = curate.open(tmp_path / "ws")
    other = curate.open(first / "ws")
    ds.ingest(manifest, embeddings=own_embeddings(other), ids=other.samples["path"])
    assert set(ds.issues("label")["sample_id"]) == wrong(ds)


def test_samples_that_they_lack_are_named_and_nothing_is_kept(ds: curate.Dataset) -> None:
    ids = ds.samples["sample_id"]
    for given in (
        {"embeddings": own_embeddings(ds)[3:], "ids": ids[3:]},
        {"pred_probs": own_probs(ds).iloc[3:]},
    ):
        with pytest.raises(InputError, match=f"lack 3 of 405 samples: {re.escape(ids[0])}"):
            ds.find(**given)
    assert ds.find().own == []


def test_a_folder_that_has_grown_says_what_they_lack(ds: curate.Dataset, first: Path, tmp_path: Path) -> None:
    ds.find(embeddings=own_embeddings(ds), ids=ds.samples["sample_id"])
    manifest = Path(shutil.copytree(first, tmp_path / "grown")) / "manifest.csv"
    table = pd.read_csv(manifest).assign(image=lambda rows: rows["image"].str.replace(str(first), str(manifest.parent)))
    shutil.copy(table["image"][0], manifest.parent / "images" / "new.png")
    table.loc[len(table)] = [str(manifest.parent / "images" / "new.png"), "0"]
    table.to_csv(manifest, index=False)
    with pytest.raises(InputError, match=r"lack 1 of 406 samples: images/new.png"):
        ds.ingest(manifest)
    assert ds.find(forget=["embeddings"]).n_samples == 406


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda probs: probs.rename(columns={"4": "four"}), "no column for the class"),
        (lambda probs: probs.assign(x=0.0), "column 'x', which is no class"),
        (lambda probs: probs * 3, "row 0 of pred_probs"),
        (lambda probs: probs.assign(**{"4": np.nan}), "NaN"),
        (lambda probs: probs.to_numpy(), "without ids"),
        (lambda probs: probs.reset_index(drop=True), "without a column sample_id"),
        (lambda probs: probs.set_axis(["a"] * len(probs)), "'a' is there twice"),
        (lambda probs: "nowhere.csv", "there is no file"),
        (lambda probs: "probs.pickle", "can't read"),
    ],
)
def test_probabilities_that_can_not_be_used_are_a_clear_error(ds: curate.Dataset, change, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ds.find(pred_probs=change(own_probs(ds)))


def test_a_pickle_in_an_npy_is_refused(ds: curate.Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="can't be read"):
        ds.find(embeddings=tmp_path / "p.npy", ids=["a", "b"])


def test_ids_alone_are_wrong_usage(ds: curate.Dataset, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a")
    assert "that they belong to" in command("find", "-w", ds.root, "--ids", tmp_path / "ids.txt").stderr
    with pytest.raises(InputError, match="forget 'label'"):
        ds.find(forget=["label"])
