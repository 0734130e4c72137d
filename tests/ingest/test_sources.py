from __future__ import annotations

import pytest

from curate.errors import SourceError
from curate.ingest.sources import read_source
from curate.schema import validate


def test_a_source_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="there is no file or folder"):
        read_source(tmp_path / "gone")


def test_a_file_of_another_kind_is_an_error(write):
    with pytest.raises(SourceError, match="of no known kind(?s:.*)csv"):
        read_source(write("photo.jpg", b"\xff\xd8"))


def test_a_relative_path_gives_absolute_ones(plant, monkeypatch):
    root = plant("cat/1.jpg", "dog/2.jpg")
    monkeypatch.chdir(root)
    assert read_source(root / ".").root == root
    assert read_source(type(root)(".")).sources["path"].tolist() == [f"{root}/cat/1.jpg", f"{root}/dog/2.jpg"]


def test_the_bench_reads_whole(bench, tmp_path):
    source = read_source(bench / "cifar10n-dev" / "samples.csv")
    assert source.problems.empty and len(source.sources) == 10_000
    assert source.sources["split"].value_counts().to_dict() == {"train": 8000, "test": 2000}
    assert source.sources["label"].notna().sum() == 2000
    validate("sources", source.sources)
