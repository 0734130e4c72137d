"""The queue as one self-contained HTML page: pictures, evidence, and buttons that collect verdicts.

The page asks the network for nothing and runs no script but its own: both are also forbidden to the browser
(Content-Security-Policy), so that a hostile file name or label stays text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curate.errors import DecodeError
from curate.issues.kinds import KEEP_ONE, kind_of
from curate.review.forecast import Forecast

TEMPLATES = Path(__file__).parent / "templates"
NEIGHBOURS = 6  # shown at most

Thumb = Callable[[str], bytes]  # sample_id → JPEG


@dataclass(frozen=True)
class Picture:
    """A thumbnail with its caption; `uri` is None where the file can't be shown."""

    sample_id: str
    uri: str | None
    label: str | None
    split: str | None
    size: str


@dataclass(frozen=True)
class Tile:
    """A sample to decide on, and what the page hands back with the verdict."""

    picture: Picture
    issue: str
    suggested: str | None
    proposed: str
    reason: str
    probability: float
    score: float
    sha256: str | None


@dataclass(frozen=True)
class Card:
    """One entry of the queue: one decision."""

    rank: int
    issue: str
    title: str
    tiles: Sequence[Tile]
    twin: Picture | None
    neighbours: Sequence[Picture]

    @property
    def keeps_one(self) -> bool:
        return len(self.tiles) > 1 and self.issue in KEEP_ONE


def queue_html(
    queue: pd.DataFrame,
    samples: pd.DataFrame,
    *,
    thumb: Thumb,
    neighbours: Mapping[str, Sequence[str]] | None = None,
    forecast: Forecast | None = None,
    title: str = "Review",
    limit: int = 200,
) -> str:
    """Render the first entries of the queue.

    Verdicts are kept in the browser and downloaded as a CSV that `curate decide` reads.

    Parameters
    ----------
    queue : schema QUEUE, whole or in part
    samples : schema SAMPLES; its labels are the classes that a relabel may name
    thumb : the JPEG of a sample; called once for each picture shown. `thumbnails` makes one from the originals
    neighbours : sample_id → the samples most like it, nearest first
    forecast : adds how far the review has come
    title : heading of the page
    limit : how many entries to show, the first in the queue; about 10 to 60 kB each
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    ranks = queue["rank"].drop_duplicates()
    shown = queue[queue["rank"].isin(ranks.head(limit))]
    pictures = _Pictures(samples, thumb)
    cards = [_card(rows, pictures, neighbours or {}) for _, rows in shown.groupby("rank")]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script, style = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("review.js", "review.css"))
    return environment.get_template("review.html").render(
        title=title,
        cards=cards,
        n_entries=len(ranks),
        counts=[(issue, _title(issue), n) for issue, n in _counts(cards).items()],
        classes=sorted(samples["label"].dropna().unique()),
        forecast=forecast,
        page_id=_page_id(shown),
        script=script,
        style=style,
        script_hash=_csp_hash(script),
        style_hash=_csp_hash(style),
    )


def thumbnails(samples: pd.DataFrame, *, size: int = 192) -> Thumb:
    """Thumbnails from the original files: JPEG, at most `size` pixels high and wide, never enlarged."""
    paths = samples.set_index("sample_id")["path"].to_dict()

    def thumb(sample_id: str) -> bytes:
        from io import BytesIO

        from PIL import Image

        from curate.images.decode import decode

        image = Image.fromarray(decode(Path(paths[sample_id]).read_bytes(), target=size).rgb)
        image.thumbnail((size, size))
        buffer = BytesIO()
        image.save(buffer, format="JPEG", quality=85)
        return buffer.getvalue()

    return thumb


class _Pictures:
    """Makes each picture once."""

    def __init__(self, samples: pd.DataFrame, thumb: Thumb) -> None:
        self._facts = samples.set_index("sample_id")[["label", "split", "width", "height"]]
        self._thumb = thumb
        self._made: dict[str, Picture] = {}

    def __contains__(self, sample_id: object) -> bool:
        return sample_id in self._facts.index

    def __getitem__(self, sample_id: str) -> Picture:
        if sample_id not in self._made:
            self._made[sample_id] = self._make(sample_id)
        return self._made[sample_id]

    def _make(self, sample_id: str) -> Picture:
        facts = self._facts.loc[sample_id]
        known = not (pd.isna(facts["width"]) or pd.isna(facts["height"]))
        return Picture(
            sample_id=sample_id,
            uri=self._uri(sample_id),
            label=_or_none(facts["label"]),
            split=_or_none(facts["split"]),
            size=f"{facts['width']:.0f}×{facts['height']:.0f}" if known else "",
        )

    def _uri(self, sample_id: str) -> str | None:
        try:
            jpeg = self._thumb(sample_id)
        except (OSError, DecodeError):  # gone or broken since the scan: the page says so in its place
            return None
        return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _card(rows: pd.DataFrame, pictures: _Pictures, neighbours: Mapping[str, Sequence[str]]) -> Card:
    tiles = [_tile(row, pictures) for row in rows.to_dict("records")]
    first = rows.iloc[0]
    alone = len(tiles) == 1
    twin = first["nearest_id"] if alone and first["issue"] in KEEP_ONE and first["nearest_id"] in pictures else None
    alike = (
        [n for n in neighbours.get(first["sample_id"], ()) if n in pictures] if first["issue"] not in KEEP_ONE else []
    )
    return Card(
        rank=int(first["rank"]),
        issue=first["issue"],
        title=_title(first["issue"]),
        tiles=tiles,
        twin=pictures[twin] if twin is not None else None,
        neighbours=[pictures[sample_id] for sample_id in alike[:NEIGHBOURS]],
    )


def _tile(row: Mapping[Any, Any], pictures: _Pictures) -> Tile:
    return Tile(
        picture=pictures[row["sample_id"]],
        issue=row["issue"],
        suggested=_or_none(row["suggested_label"]),
        proposed=row["proposed_action"],
        reason=row["reason"],
        probability=float(row["probability"]),
        score=float(row["score"]),
        sha256=_or_none(row["sha256"]),
    )


def _title(issue: str) -> str:
    return kind_of(issue).heading


def _counts(cards: Sequence[Card]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for card in cards:
        counts[card.issue] = counts.get(card.issue, 0) + 1
    return counts


def _or_none(value: object) -> str | None:
    return None if pd.isna(value) else str(value)  # type: ignore[call-overload]


def _page_id(shown: pd.DataFrame) -> str:
    """Verdicts in the browser belong to this queue of these pictures; another one starts afresh."""
    return hashlib.sha256(shown[["sample_id", "sha256", "issue"]].to_csv(index=False).encode()).hexdigest()[:16]


def _csp_hash(inline: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode("ascii")
