"""Export: the tree, hostile names, nothing overwritten, originals untouched, kills and full disks."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import ExportError
from curate.formats.names import distinct, safe_name
from curate.formats.tree import HOW, export, export_csv, layout
from curate.schema import conform, validate


def make_manifest(folder: Path, rows: dict[str, tuple[str | None, str | None]]) -> pd.DataFrame:
    """MANIFEST of files written into `folder`, from sample_id → (label, split)."""
    records = []
    for sample_id, (label, split) in rows.items():
        path = folder / sample_id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content := f"pixels of {sample_id}".encode() * 50)
        record = {"sample_id": sample_id, "path": str(path), "label": label, "split": split, "group": None}
        records.append({**record, "sha256": hashlib.sha256(content).hexdigest()})
    return validate("manifest", conform("manifest", pd.DataFrame(records)))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def pictures(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if name.endswith(".jpg")}


@pytest.fixture
def manifest(tmp_path: Path) -> pd.DataFrame:
    return make_manifest(
        tmp_path / "originals",
        {"x/1.jpg": ("cat", "train"), "y/1.jpg": ("cat", "train"), "2.jpg": ("dog", "test"), "3.jpg": (None, None)},
    )


# ---- the tree --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOW)
def test_the_tree_holds_every_sample_under_its_split_and_class(
    manifest: pd.DataFrame, tmp_path: Path, how: str
) -> None:
    files = export(manifest, tmp_path / "out", how=how)
    assert files["image"].tolist()[2:] == ["test/dog/2.jpg", "no_split/unlabelled/3.jpg"]
    first, second = files["image"].tolist()[:2]
    assert {Path(name).parent.as_posix() for name in (first, second)} == {"train/cat"} and first != second
    assert pictures(tmp_path / "out") == {
        row.image: Path(path).read_bytes() for row, path in zip(files.itertuples(), manifest["path"], strict=True)
    }
    kinds = {
        "hardlink": lambda p: p.stat().st_nlink == 2,
        "symlink": Path.is_symlink,
        "copy": lambda p: p.stat().st_nlink == 1,
    }
    assert all(kinds[how](tmp_path / "out" / name) for name in files["image"])
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_without_splits_the_tree_is_class_and_name(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "o", {"1.jpg": ("cat", None), "2.jpg": ("dog", None)})
    assert layout(manifest)["image"].tolist() == ["cat/1.jpg", "dog/2.jpg"]


def test_the_manifest_in_the_tree_has_the_true_names(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "o", {'a,"b.jpg': ("../../etc", "train"), "c.jpg": ('x"y,\nz', "train")})
    export(manifest, tmp_path / "out", how="copy")
    with open(tmp_path / "out" / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["../../etc", 'x"y,\nz']
    assert [row["sample_id"] for row in rows] == manifest["sample_id"].tolist()
    assert all((tmp_path / "out" / row["image"]).is_file() for row in rows)


def test_an_empty_version_is_an_empty_tree(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "o", {"1.jpg": ("cat", "train")}).iloc[:0]
    assert export(manifest, tmp_path / "out", how="copy").empty
    assert (tmp_path / "out" / "manifest.csv").is_file()


def test_a_sample_keeps_its_name_whatever_else_is_in_the_version(manifest: pd.DataFrame) -> None:
    whole = layout(manifest).set_index("sample_id")["image"]
    turned = layout(manifest.iloc[::-1]).set_index("sample_id")["image"]
    assert whole.sort_index().equals(turned.sort_index())


# ---- hostile names ---------------------------------------------------------------------------

HOSTILE = ["../../etc", "/etc/passwd", "a/b", "a\\b", "..", ".", "", ".hidden", "-rf", "CON", "nul.txt", "x" * 400]
HOSTILE += [
    "new\nline",
    "nul\0byte",
    "dot.",
    "space ",
    "ünïcödé",
    "e\u0301",
    "Cat",
    "cat",
    "unlabelled",
    "train",
    "a:b",
]


def test_hostile_classes_stay_inside_the_tree_each_in_a_folder_of_its_own(tmp_path: Path) -> None:
    rows = {f"{n}.jpg": (label or None, "train") for n, label in enumerate(HOSTILE)}
    manifest = make_manifest(tmp_path / "o", rows)
    files = export(manifest, tmp_path / "out", how="hardlink")
    folders = [Path(image).parent for image in files["image"]]
    assert len({str(folder).casefold() for folder in folders}) == len(HOSTILE)
    out = (tmp_path / "out").resolve()
    assert all((out / image).resolve().is_relative_to(out) for image in files["image"])
    assert len(pictures(out)) == len(HOSTILE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o", "out"]


@given(st.text(max_size=300))
def test_a_safe_name_is_one_short_component(name: str) -> None:
    safe = safe_name(name)
    assert safe not in ("", ".", "..") and not safe.startswith((".", "-"))
    assert "/" not in safe and "\\" not in safe and "\0" not in safe
    assert 0 < len(safe.encode()) <= 201
    assert safe_name(safe) == safe


@given(st.lists(st.tuples(st.text("aA./é", min_size=1, max_size=4), st.just("")), max_size=8))
def test_names_that_come_out_alike_are_kept_apart(pairs: list[tuple[str, str]]) -> None:
    names = [name for name, _ in pairs]
    made = distinct(names, [safe_name(name) for name in names])
    assert len({name.casefold() for name in made}) == len(set(names))
    assert dict(zip(names, made, strict=True)) == dict(zip(reversed(names), reversed(made), strict=True))


def test_the_suffix_survives_shortening_and_marking() -> None:
    assert safe_name("x" * 400 + ".jpeg").endswith("x.jpeg")
    one, other = distinct(["a/1.jpg", "b/1.jpg"], ["1.jpg", "1.jpg"])
    assert one.startswith("1~") and one.endswith(".jpg") and one != other


# ---- nothing is lost -------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOW)
def test_originals_are_not_changed(manifest: pd.DataFrame, tmp_path: Path, how: str) -> None:
    def state() -> dict[str, tuple[str, float]]:
        return {p: (hashlib.sha256(Path(p).read_bytes()).hexdigest(), os.stat(p).st_mtime) for p in manifest["path"]}

    before = state()
    export(manifest, tmp_path / "out", how=how)
    export(manifest, tmp_path / "out", how=how)
    assert state() == before


def test_the_same_export_again_is_done_at_once_and_another_is_refused(manifest: pd.DataFrame, tmp_path: Path) -> None:
    export(manifest, tmp_path / "out", how="copy")
    before = tree(tmp_path / "out")
    steps: list[int] = []
    export(manifest, tmp_path / "out", how="copy", advance=steps.append)
    assert steps == []
    for other, how in ((manifest.iloc[:2], "copy"), (manifest, "symlink")):
        with pytest.raises(ExportError, match="holds another export"):
            export(other, tmp_path / "out", how=how)
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("what", ["file in folder", "file", "dangling link"])
def test_files_that_are_there_are_never_touched(manifest: pd.DataFrame, tmp_path: Path, what: str) -> None:
    out = tmp_path / "out"
    if what == "file in folder":
        (out / "test" / "dog").mkdir(parents=True)
        (out / "test" / "dog" / "2.jpg").write_bytes(b"mine")
    elif what == "file":
        out.write_bytes(b"mine")
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="holds files"):
        export(manifest, out, how="copy")
    if what == "dangling link":
        assert out.is_symlink()
    else:
        assert (out / "test/dog/2.jpg" if out.is_dir() else out).read_bytes() == b"mine"


def test_an_empty_folder_may_be_exported_into(manifest: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(manifest, tmp_path / "out", how="copy")
    assert len(pictures(tmp_path / "out")) == 4


def test_an_unknown_way_to_export_is_refused(manifest: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="one of hardlink, symlink, copy"):
        export(manifest, tmp_path / "out", how="move")


@pytest.mark.parametrize("how", HOW)
def test_an_original_that_is_gone_is_named_and_the_export_goes_on_later(
    manifest: pd.DataFrame, tmp_path: Path, how: str
) -> None:
    gone = Path(manifest["path"][2])
    content = gone.read_bytes()
    gone.unlink()
    with pytest.raises(ExportError, match="2.jpg is gone"):
        export(manifest, tmp_path / "out", how=how)
    assert not (tmp_path / "out").exists()
    gone.write_bytes(content)
    export(manifest, tmp_path / "out", how=how)
    assert len(pictures(tmp_path / "out")) == 4


def interrupted_export(manifest: pd.DataFrame, out: Path) -> None:
    """Copy three files and stop."""
    moments = iter([None, None, KeyboardInterrupt()])

    def advance(n: int) -> None:
        if moment := next(moments):
            raise moment

    with pytest.raises(KeyboardInterrupt):
        export(manifest, out, how="copy", advance=advance)


def test_a_half_done_export_of_another_version_is_not_mixed_in(manifest: pd.DataFrame, tmp_path: Path) -> None:
    interrupted_export(manifest, tmp_path / "out")
    with pytest.raises(ExportError, match="unfinished export of something else"):
        export(manifest.iloc[:3], tmp_path / "out", how="copy")


def test_what_a_killed_run_left_is_checked_before_it_is_trusted(manifest: pd.DataFrame, tmp_path: Path) -> None:
    interrupted_export(manifest, tmp_path / "out")
    (tmp_path / ".out.curate-partial" / "test/dog/2.jpg").write_bytes(b"someone wrote here")
    with pytest.raises(ExportError, match="exists and is not"):
        export(manifest, tmp_path / "out", how="copy")


def test_an_original_that_is_a_link_is_exported_as_the_file_it_means(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "o", {"1.jpg": ("cat", None)})
    (tmp_path / "o" / "link.jpg").symlink_to("1.jpg")
    manifest["path"] = str(tmp_path / "o" / "link.jpg")
    for how in HOW:
        export(manifest, tmp_path / how, how=how)
        assert (tmp_path / how / "cat/1.jpg").read_bytes() == (tmp_path / "o/1.jpg").read_bytes()
    assert not (tmp_path / "hardlink/cat/1.jpg").is_symlink()


# ---- kills and full disks --------------------------------------------------------------------

EXPORT = """
import sys
import pandas as pd
from curate.formats.tree import export
export(pd.read_parquet(sys.argv[1]), sys.argv[2], how="copy", advance=lambda n: print(n, flush=True))
"""


@pytest.fixture
def many(tmp_path: Path) -> pd.DataFrame:
    return make_manifest(tmp_path / "originals", {f"{n:03d}.jpg": ("cat", "train") for n in range(300)})


def test_a_killed_export_goes_on_where_it_stopped(many: pd.DataFrame, tmp_path: Path) -> None:
    many.to_parquet(tmp_path / "m.parquet")
    out = tmp_path / "out"
    command = [sys.executable, "-c", EXPORT, tmp_path / "m.parquet", out]
    for after in (1, 100, 290):
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        for _ in range(after):
            run.stdout.readline()
        run.send_signal(signal.SIGKILL)
        run.communicate()
        assert not out.exists()
    export(many, out, how="copy")
    export(many, tmp_path / "undisturbed", how="copy")
    assert tree(out) == tree(tmp_path / "undisturbed")


def test_a_second_process_on_the_same_export_is_refused(many: pd.DataFrame, tmp_path: Path) -> None:
    many.to_parquet(tmp_path / "m.parquet")
    held = EXPORT.replace("print(n, flush=True)", "(print(n, flush=True), sys.stdin.readline())")
    command = [sys.executable, "-c", held, tmp_path / "m.parquet", tmp_path / "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        first.stdout.readline()
        with pytest.raises(ExportError, match="another process"):
            export(many, tmp_path / "out", how="copy")
        first.communicate("\n" * 300)
    assert len(pictures(tmp_path / "out")) == 300


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_stops_with_advice_and_leaves_nothing_half_done(many: pd.DataFrame, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("this container may not mount a file system")
    try:
        with pytest.raises(ExportError, match="can't cross file systems"):
            export(many, small / "linked", how="hardlink")
        with pytest.raises(ExportError, match="free some space"):
            export(many, small / "out", how="copy")
        assert not (small / "out").exists()
    finally:
        subprocess.run(["umount", small], check=True)


# ---- as a CSV --------------------------------------------------------------------------------


def test_a_version_as_a_csv_never_writes_over_another_file(manifest: pd.DataFrame, tmp_path: Path) -> None:
    export_csv(manifest, tmp_path / "v.csv")
    table = pd.read_csv(tmp_path / "v.csv")
    assert table.columns.tolist() == ["image", "label", "split", "group", "sample_id"]
    assert table["image"].tolist() == manifest["path"].tolist()
    export_csv(manifest, tmp_path / "v.csv")
    (tmp_path / "v.csv").write_text("mine")
    with pytest.raises(ExportError, match="exists"):
        export_csv(manifest, tmp_path / "v.csv")
    assert (tmp_path / "v.csv").read_text() == "mine"


def test_an_export_can_be_ingested_again(manifest: pd.DataFrame, tmp_path: Path) -> None:
    sources = pytest.importorskip("curate.ingest.sources")
    export(manifest, tmp_path / "out", how="copy")
    source = sources.read_source(tmp_path / "out" / "manifest.csv")
    assert source.problems.empty
    again = source.sources.set_index("sample_id")
    files = layout(manifest).set_index("image")
    assert again["label"].dropna().to_dict() == files["label"].dropna().to_dict()
    assert again["split"].dropna().to_dict() == files["split"].dropna().to_dict()
