"""How the App opens: saved views, sidebar, colours, the workspace of grid, panel and map."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curate.review.app.fields import DECISION, LABELS, MEASURED, PLACES, QUESTION

Dataset = Any  # fiftyone.Dataset

PANEL = "review_progress"  # of plugin/progress.py
MAP = "map"  # key of the visualisation
LAYOUT = "review"  # name of the saved workspace
SHOWN = ["label", "proposed", "decision"]  # on the tiles, from the first


@dataclass(frozen=True)
class SavedView:
    """A view by name: the samples that have a value in `by`, in its order."""

    name: str
    by: str
    issues: tuple[str, ...] = ()  # a verdict in this view is about these
    color: str = "#499CEF"
    description: str = ""
    reverse: bool = False


QUEUE_VIEW = "Queue"
VIEWS = (
    SavedView(QUEUE_VIEW, "place", (), "#EE6600", "everything undecided, most valuable first"),
    SavedView("Label issues", "label_place", PLACES["label"], "#D54B45", "wrong labels, worst first"),
    SavedView("Duplicates", "duplicate_place", PLACES["duplicate"], "#8B5CF6", "copies side by side, best first"),
    SavedView("Leaks", "leak_place", PLACES["leak"], "#B9770E", "copies across splits, side by side"),
    SavedView("Outliers", "outlier_place", PLACES["outlier"], "#2E86C1", "unlike everything else"),
    SavedView("Quality", "quality_place", PLACES["quality"], "#7D8590", "dark, bright, blurred, empty, odd"),
    SavedView("Other issues", "other_place", (), "#7D8590", "of further finders"),
    SavedView("Annotator conflicts", "conflict_place", PLACES["label"], "#C2410C", "people differ; least sure first"),
    SavedView("Decided", "decided_at", (), "#2E9E5B", "the latest verdict first", reverse=True),
)
ISSUES_OF = {view.name: view.issues for view in VIEWS}
COLORS = {"keep": "#2E9E5B", "relabel": "#499CEF", "drop": "#D54B45", "unsure": "#B9770E"}
READABLE = "#8B949E"  # on a dark ground; FiftyOne would give these fields a dark blue


def view_of(issue: str | None) -> str:
    """The name of the view to open for an issue; the queue for none, or for one that has no view of its own."""
    return next((view.name for view in VIEWS if issue in view.issues), QUEUE_VIEW)


def slug(name: str) -> str:
    """A view's name as it stands in an address."""
    return name.lower().replace(" ", "-")


def arrange(dataset: Dataset, classes: list[str], points: pd.DataFrame | None) -> None:
    """Save views, sidebar, colours, label classes and the workspace in the dataset; the same again changes nothing."""
    for view in VIEWS:
        _save_view(dataset, view)
    dataset.app_config.sidebar_groups = _sidebar(dataset)
    dataset.app_config.color_scheme = _colors()
    dataset.app_config.active_fields = _active()
    dataset.save()
    allow_labels(dataset, classes)
    if points is not None and len(points) > 2:
        add_map(dataset, points)
    dataset.save_workspace(LAYOUT, _spaces(with_map=points is not None), overwrite=True)


def allow_labels(dataset: Dataset, classes: list[str]) -> None:
    """Offer these classes, and no others, in the App's own Annotate tab."""
    schema = {"type": "classification", "classes": classes, "component": "dropdown", "attributes": []}
    dataset.set_label_schemas({"label": schema})
    dataset.active_label_schemas = ["label"]


def add_map(dataset: Dataset, points: pd.DataFrame) -> None:
    """Our own 2-D map (`sample_id`, `x`, `y`) as a visualisation, made anew where the points differ."""
    from curate.review.app.dataset import ids_of

    digest = hashlib.sha256(pd.util.hash_pandas_object(points, index=False).to_numpy().tobytes()).hexdigest()
    if dataset.has_brain_run(MAP) and dataset.info.get(MAP) == digest:
        return
    import fiftyone.brain as fob

    known = points[points["sample_id"].isin(dataset.values("sample_id"))]
    shown = dataset.select(ids_of(dataset, known["sample_id"]), ordered=True)
    if dataset.has_brain_run(MAP):
        dataset.delete_brain_run(MAP)
    xy = known[["x", "y"]].to_numpy(dtype=np.float64)
    fob.compute_visualization(shown, points=xy, brain_key=MAP, verbose=False)
    dataset.info[MAP] = digest
    dataset.save()


def _save_view(dataset: Dataset, view: SavedView) -> None:
    stages = dataset.exists(view.by).sort_by(view.by, reverse=view.reverse)
    if dataset.has_saved_view(view.name):
        dataset.delete_saved_view(view.name)
    dataset.save_view(view.name, stages, description=view.description, color=view.color)


def _sidebar(dataset: Dataset) -> list[Any]:
    import fiftyone as fo

    fields = [name for name in dataset.get_field_schema() if not name.startswith("_")]
    scores = [name for name in fields if name.endswith(("_score", "_probability"))]
    groups = [
        ("tags", []),
        ("question", ["label", *QUESTION]),
        ("decision", list(DECISION)),
        ("labels", list(LABELS)),
        ("duplicates", ["duplicate_group", "nearest"]),
        ("issues", sorted(set(scores) - set(LABELS))),
        ("measured", list(MEASURED)),
    ]
    placed = {name for _, names in groups for name in names}
    groups += [("bookkeeping", [name for name in fields if name not in placed and name != "tags"]), ("metadata", [])]
    open_groups = ("tags", "question", "decision")
    return [
        fo.SidebarGroupDocument(name=name, paths=[p for p in paths if p in fields], expanded=name in open_groups)
        for name, paths in groups
    ]


def _colors() -> Any:
    import fiftyone as fo

    decisions = [{"value": value, "color": color} for value, color in COLORS.items()]
    return fo.ColorScheme(
        color_by="field",
        fields=[
            {"path": "label", "fieldColor": "#6E7681"},
            {"path": "proposed", "fieldColor": "#EE6600"},
            {"path": "decision", "fieldColor": "#2E9E5B", "colorByAttribute": "value", "valueColors": decisions},
            *({"path": name, "fieldColor": READABLE} for name in DECISION if name != "decision"),
        ],
    )


def _active() -> Any:
    import fiftyone as fo

    return fo.ActiveFields(paths=SHOWN)


def _spaces(*, with_map: bool) -> Any:
    """The grid to the left; to the right the panel; the map is a second tab, because the App opens it with a list."""
    import fiftyone as fo

    samples, panel = fo.Panel(type="Samples", pinned=True), fo.Panel(type=PANEL)
    grid = fo.Space(children=[samples], active_child=samples.component_id)
    tabs = [panel, fo.Panel(type="Embeddings")] if with_map else [panel]
    right = fo.Space(children=tabs, active_child=panel.component_id)
    return fo.Space(children=[grid, right], orientation="horizontal", sizes=[0.66, 0.34])
