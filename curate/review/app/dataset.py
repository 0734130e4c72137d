"""Our rows as a FiftyOne dataset, brought up to date by writing only what changed.

Each document carries a hash of the row it was made from: what Mongo holds is known from Mongo itself, so that a
kill at any moment, or somebody's hand, leads to no wrong belief. Samples are written straight into the dataset's
collection, a hundred times faster than field by field; a test compares them with what FiftyOne writes itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pandas as pd

from curate.decisions.decision import plain

BATCH = 5_000  # documents per write
BOOLEANS = ("is_conflict",)
TIMES = ("decided_at",)
OWN = ("written_label", "row_hash")  # kept for ourselves: the label as we wrote it, and the row's hash

Documents = Any  # pymongo.collection.Collection
Dataset = Any  # fiftyone.Dataset


def open_dataset(name: str) -> Dataset:
    """The dataset of this name, made where there is none."""
    import fiftyone as fo

    dataset = fo.load_dataset(name) if fo.dataset_exists(name) else fo.Dataset(name, persistent=True)
    dataset.persistent = True
    return dataset


def sync(dataset: Dataset, rows: pd.DataFrame) -> dict[str, int]:
    """Bring the dataset to these rows. Returns how many were `added`, `changed` and `removed`.

    Parameters
    ----------
    rows : `sample_id`, `path`, `given_label` and any other fields, one row per sample
    """
    _declare(dataset, rows)
    wanted = pd.Series(_hashes(rows), index=rows["sample_id"])
    held = _held(dataset)
    known = held.reindex(wanted.index)
    new, changed = known.isna(), known.notna() & known.ne(wanted)
    gone = held.index.difference(wanted.index)
    documents = collection_of(dataset)
    _insert(dataset, documents, rows[new.to_numpy()], wanted[new])
    _update(documents, rows[changed.to_numpy()], wanted[changed])
    if len(gone):
        documents.delete_many({"sample_id": {"$in": gone.tolist()}})
    counts = {"added": int(new.sum()), "changed": int(changed.sum()), "removed": len(gone)}
    if any(counts.values()):
        dataset.reload()
    return counts


def write_decisions(
    dataset: Dataset, fields: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str | None]
) -> None:
    """Write new decision fields and labels in force, by sample_id; the next `sync` looks at these again."""
    from pymongo import UpdateOne

    updates = [
        UpdateOne({"sample_id": sample_id}, _set({**row, **_label(labels[sample_id]), "row_hash": "touched"}))
        for sample_id, row in fields.items()
    ]
    if updates:
        collection_of(dataset).bulk_write(updates, ordered=False)


def edited_labels(dataset: Dataset) -> dict[str, str | None]:
    """sample_id → label, where somebody changed the label in the App (its Annotate tab)."""
    differs = {"$expr": {"$ne": [{"$ifNull": ["$label.label", None]}, {"$ifNull": ["$written_label", None]}]}}
    found = collection_of(dataset).find(differs, {"sample_id": 1, "label.label": 1})
    return {row["sample_id"]: (row.get("label") or {}).get("label") for row in found}


def tagged(dataset: Dataset) -> dict[str, list[str]]:
    """sample_id → its tags, where it has any."""
    found = collection_of(dataset).find({"tags.0": {"$exists": True}}, {"sample_id": 1, "tags": 1})
    return {row["sample_id"]: row["tags"] for row in found}


def take_tags(dataset: Dataset, sample_ids: Iterable[str], tags: Iterable[str]) -> None:
    """Remove tags that have become verdicts."""
    touched = {"$pull": {"tags": {"$in": list(tags)}}, "$set": {"last_modified_at": _now()}}
    collection_of(dataset).update_many({"sample_id": {"$in": list(sample_ids)}}, touched)


def names_of(dataset: Dataset, ids: Iterable[str]) -> list[str]:
    """FiftyOne's ids → our sample_ids, in their order."""
    from bson import ObjectId

    keys = [ObjectId(key) for key in ids]
    found = collection_of(dataset).find({"_id": {"$in": keys}}, {"sample_id": 1})
    by_id = {row["_id"]: row["sample_id"] for row in found}
    return [by_id[key] for key in keys if key in by_id]


def ids_of(dataset: Dataset, sample_ids: Iterable[str]) -> list[str]:
    """Our sample_ids → FiftyOne's ids, in their order."""
    names = list(sample_ids)
    found = collection_of(dataset).find({"sample_id": {"$in": names}}, {"sample_id": 1})
    by_name = {row["sample_id"]: str(row["_id"]) for row in found}
    return [by_name[name] for name in names if name in by_name]


def collection_of(dataset: Dataset) -> Documents:
    return dataset._sample_collection


def _declare(dataset: Dataset, rows: pd.DataFrame) -> None:
    """Tell FiftyOne the fields and their types, and make the indexes, where that has not been done."""
    import fiftyone as fo
    from fiftyone.core.odm import create_field

    known = dataset.get_field_schema()
    fields = {name: create_field(name, _kind(name, rows)) for name in [*rows.columns.drop("path"), *OWN]}
    fields["label"] = create_field("label", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    new = {name: field for name, field in fields.items() if name not in known}
    if new:
        dataset._merge_sample_field_schema(new)  # `add_sample_field` takes 50 ms for each
    if dataset.media_type is None:
        dataset.media_type = "image"
    indexes = dataset.list_indexes()
    for name in filter(_is_place, rows.columns.difference(indexes)):
        dataset.create_index(name)
    if "sample_id" not in indexes:
        dataset.create_index("sample_id", unique=True)


def _kind(name: str, rows: pd.DataFrame) -> Any:
    import fiftyone as fo

    if name in BOOLEANS:
        return fo.BooleanField
    if name in TIMES:
        return fo.DateTimeField
    if _is_place(name):
        return fo.IntField
    return fo.FloatField if name in rows and pd.api.types.is_numeric_dtype(rows[name]) else fo.StringField


def _is_place(name: str) -> bool:
    return name == "place" or name.endswith("_place")


def _hashes(rows: pd.DataFrame) -> list[str]:
    """A hash of each row that is the same in every process; the names of the columns count too."""
    named = pd.util.hash_array(np.array(sorted(rows.columns), dtype=object)).sum(dtype=np.uint64)
    plain_rows = rows[sorted(rows.columns)].astype({c: "object" for c in rows.columns if rows[c].dtype == "bool"})
    return [f"{h:016x}" for h in pd.util.hash_pandas_object(plain_rows, index=False).to_numpy() ^ named]


def _held(dataset: Dataset) -> pd.Series:
    """sample_id → row_hash, of what Mongo holds."""
    found = list(collection_of(dataset).find({}, {"_id": 0, "sample_id": 1, "row_hash": 1}))
    hashes = [row.get("row_hash") or "none" for row in found]
    return pd.Series(hashes, index=pd.Index([row["sample_id"] for row in found], dtype="object"), dtype="object")


def _insert(dataset: Dataset, documents: Documents, rows: pd.DataFrame, hashes: pd.Series) -> None:
    dataset_id, now = dataset._doc.id, _now()
    for start in range(0, len(rows), BATCH):
        part, marks = rows.iloc[start : start + BATCH], hashes.iloc[start : start + BATCH]
        documents.insert_many(
            [
                {
                    "filepath": row.pop("path"),
                    "tags": [],
                    "_media_type": "image",
                    "_rand": random.random(),
                    "_dataset_id": dataset_id,
                    "created_at": now,
                    "last_modified_at": now,
                    "metadata": _metadata(row),
                    **_label(row.get("given_label") if row.get("reviewed_label") is None else row["reviewed_label"]),
                    **row,
                    "row_hash": mark,
                }
                for row, mark in zip(_records(part), marks, strict=True)
            ],
            ordered=False,
        )


def _update(documents: Documents, rows: pd.DataFrame, hashes: pd.Series) -> None:
    from pymongo import UpdateOne

    absent = dict.fromkeys(rows.columns.drop("path"))
    for start in range(0, len(rows), BATCH):
        part, marks = rows.iloc[start : start + BATCH], hashes.iloc[start : start + BATCH]
        updates = []
        for row, mark in zip(_records(part), marks, strict=True):
            label = row.get("given_label") if row.get("reviewed_label") is None else row["reviewed_label"]
            fields = {**absent, "filepath": row.pop("path"), **row, **_label(label), "row_hash": mark}
            updates.append(UpdateOne({"sample_id": row["sample_id"]}, _set(fields)))
        documents.bulk_write(updates, ordered=False)


def _set(fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """An update that sets what there is and removes what there is not."""
    values = {name: _value(name, value) for name, value in fields.items()}
    there = {name: value for name, value in values.items() if value is not None}
    gone = {name: "" for name, value in values.items() if value is None}
    return {"$set": {**there, "last_modified_at": _now()}, **({"$unset": gone} if gone else {})}


def _label(label: str | None) -> dict[str, Any]:
    """The Classification that the App shows and its Annotate tab edits, and what we wrote into it."""
    from bson import ObjectId

    if plain(label) is None:
        return {"label": None, "written_label": None}
    return {"label": {"_id": ObjectId(), "_cls": "Classification", "tags": [], "label": label}, "written_label": label}


def _metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    """So that the grid needs not open any file to know its shape."""
    size = {name: int(row[name]) for name in ("width", "height") if row.get(name) is not None}
    bytes_ = {"size_bytes": int(row["bytes"])} if row.get("bytes") is not None else {}
    return {"_cls": "ImageMetadata", **size, **bytes_}


def _records(rows: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Rows as dicts of plain values, without what is missing."""
    names = list(rows.columns)
    columns = [_plain_column(name, rows[name]) for name in names]
    for values in zip(*columns, strict=True):
        yield {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _plain_column(name: str, column: pd.Series) -> list[Any]:
    values: list[Any] = column.astype("object").where(column.notna(), None).tolist()
    if column.dtype == "object" or name in BOOLEANS + TIMES or _is_place(name):
        return [None if value is None else _value(name, value) for value in values]
    return values


def _value(name: str, value: Any) -> Any:
    value = plain(value) if not isinstance(value, dict | list) else value
    if value is None:
        return None
    if name in TIMES and isinstance(value, str):
        return datetime.fromisoformat(value)
    if _is_place(name):
        return int(value)
    return bool(value) if name in BOOLEANS else value


def _now() -> datetime:
    return datetime.now(timezone.utc)
