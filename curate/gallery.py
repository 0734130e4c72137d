"""What a notebook shows: thumbnails with evidence, and a data set in a few lines.

HTML that asks the network for nothing. Every name and label is escaped: a hostile file name stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.checks import as_count
from curate.workspace import Workspace

SIDE = 96  # pixels of a thumbnail on the page; three times as in the store, where a picture is 32 × 32
CARD = f"display:inline-block;vertical-align:top;width:{2 * SIDE + 16}px;margin:4px;font:12px sans-serif"
CELL = "padding:1px 12px 1px 0;text-align:left"


@dataclass(frozen=True)
class Gallery:
    """Cards of samples; a notebook shows them, `.html` is the same as text.

    Attributes
    ----------
    table : what is shown: sample_id, nearest_id, evidence
    html : without any address
    """

    table: pd.DataFrame
    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.table.to_string(index=False)


def gallery(workspace: Workspace, issue: str, n: int) -> Gallery:
    """The n worst flagged samples of an issue, with thumbnails from the store and the evidence of the review queue."""
    from curate.verbs.issues import list_issue

    flagged = list_issue(workspace, issue)
    rows = flagged.head(as_count(n, "n", 1))
    reasons = _reasons(workspace, issue)
    score = rows[f"{issue}_score"].map(lambda value: "" if pd.isna(value) else f"score {value:.2f}")
    nearest = rows["nearest_id"] if "nearest_id" in rows else pd.Series(None, rows.index, dtype=object)
    evidence = rows["sample_id"].map(reasons).fillna(score)
    table = pd.DataFrame({"sample_id": rows["sample_id"], "nearest_id": nearest, "evidence": evidence})
    thumbs = _thumbs(workspace, {*table["sample_id"], *table["nearest_id"].dropna()})
    cards = "".join(_card(row, thumbs) for row in table.to_dict("records"))
    title = f"{escape(issue.replace('_', ' '))}: {len(rows):,} of {len(flagged):,} flagged, worst first"
    return Gallery(table, f"<div><p><b>{title}</b></p>{cards}</div>")


def _reasons(workspace: Workspace, issue: str) -> dict[str, str]:
    """sample_id → the line of evidence of an issue that the queue asks about; decided or not."""
    from curate.decisions.decision import InForce
    from curate.review.queue import build_queue
    from curate.schema import empty
    from curate.verbs.issues import found_issues, require_issue

    found = found_issues(workspace)
    finder = require_issue(found, issue)
    pairs = workspace.read("near_duplicate_pairs")
    queue = build_queue(workspace.read("samples"), {finder: found[finder]}, pairs, InForce(empty("decisions")))
    return dict(queue.loc[queue["issue"].eq(issue), ["sample_id", "reason"]].to_numpy().tolist())


def _thumbs(workspace: Workspace, sample_ids: set[str]) -> dict[str, str]:
    """sample_id → the thumbnail of the store as a data URI; those that have none are left out."""
    from curate.embed.store import load
    from curate.verbs.prepare import store_of

    scan = workspace.read("scan")
    embedded = load(workspace.path(store_of(workspace)), scan[scan["sample_id"].isin(sample_ids)])
    return {one: _uri(thumb) for one, thumb in zip(embedded.sample_ids, embedded.thumbs, strict=True)}


def _uri(thumb: np.ndarray) -> str:
    from PIL import Image

    from curate.report.pictures import data_uri

    buffer = BytesIO()
    Image.fromarray(thumb).save(buffer, format="PNG")
    return data_uri(buffer.getvalue())


def _card(row: dict[Any, Any], thumbs: dict[str, str]) -> str:
    shown = [row["sample_id"], *([row["nearest_id"]] if isinstance(row["nearest_id"], str) else [])]
    pictures = "".join(_picture(one, thumbs.get(one)) for one in shown)
    return f'<div style="{CARD}">{pictures}<br><b>{escape(row["sample_id"])}</b><br>{escape(row["evidence"])}</div>'


def _picture(sample_id: str, uri: str | None) -> str:
    name = escape(sample_id, quote=True)
    if uri is None:
        return f'<span title="{name}">(no pixels)</span>'
    return f'<img src="{uri}" width="{SIDE}" height="{SIDE}" title="{name}" alt="{name}">'


def summary_html(root: Path, state: str, workspace: Workspace | None) -> str:
    """A data set in a few lines: samples by split, versions, what is flagged; without `workspace` its state alone."""
    head = f"<b>curate.Dataset</b> {escape(str(root))}<br>{escape(state)}"
    if workspace is None:
        return f"<div>{head}; ds.ingest(source) reads a folder or a manifest</div>"
    from curate.verbs.issues import count_issues

    splits = workspace.read("samples")["split"].fillna("no split").value_counts()
    lines = [", ".join(f"{n:,} {name}" for name, n in splits.items())]
    lines.append(f"versions: {len(workspace.numbered('versions'))}, runs: {len(workspace.numbered('runs'))}")
    counts = count_issues(workspace)
    flagged = counts[counts["flagged"].gt(0)]
    rows = [(str(row.issue).replace("_", " "), f"{row.flagged:,}", f"{row.share:.1%}") for row in flagged.itertuples()]
    told = "".join(f"<br>{escape(line)}" for line in lines)
    return f"<div>{head}{told}{_table(('flagged', 'samples', 'share'), rows)}</div>"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = [("th", header), *(("td", row) for row in rows)]
    lines = ("".join(f'<{tag} style="{CELL}">{escape(cell)}</{tag}>' for cell in row) for tag, row in cells)
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
