"""One sitting in the FiftyOne App: verdicts from keys, forms, labels and tags, to the ledger first.

The dataset in MongoDB is told after the ledger: it is a cache of what the ledger says. What people change with the
App's own means, labels in its Annotate tab and tags, is read back as verdicts.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from curate.errors import CurateError, ReviewError
from curate.review.app.dataset import edited_labels, ids_of, names_of, sync, tagged, take_tags, write_decisions
from curate.review.app.fields import decision_fields, sample_rows
from curate.review.app.layout import ISSUES_OF
from curate.review.forecast import Forecast
from curate.review.session import ReviewSession, Tables
from curate.schema import ACTIONS

BATCH = 50  # entries of the queue in a batch
EDITED, TAGGED = "edited in the Annotate tab", "tagged in the App"  # reasons of verdicts that were read back
ACCEPT = "accept"  # as a tag: do as proposed
RELABEL = "relabel:"  # as a tag, followed by the class

log = logging.getLogger(__name__)


class AppSession:
    """What the plugin and the server call; one per process (`current`).

    Parameters
    ----------
    session : takes the verdicts
    dataset : FiftyOne's
    reload : the workspace's tables anew, or None where they have not changed since
    """

    def __init__(
        self, session: ReviewSession, dataset: Any, *, reload: Callable[[], Tables | None] = lambda: None
    ) -> None:
        self.session, self.dataset, self._reload = session, dataset, reload
        self.media = set(session.samples["path"])  # what the server may hand out
        self.decided = 0  # samples, in this sitting
        self._lock = threading.RLock()
        self._forecast: Forecast | None = None
        self._stale = True
        self._thinking = threading.Lock()

    def names(self, ids: Iterable[str]) -> list[str]:
        """FiftyOne's ids → our sample_ids."""
        return names_of(self.dataset, ids)

    def decide(self, verdict: Callable[[ReviewSession], list[str]]) -> list[str]:
        """Let the session record a verdict, then show it. Returns the samples that were decided."""
        with self._lock:
            decided = verdict(self.session)
            self.decided += len(decided)
            self._stale = True
            with _later("the verdict is recorded; the App shows it after the next sync"):
                self._show(decided)
        return decided

    def undo(self) -> list[str]:
        """Take this reviewer's last entry back."""
        with self._lock:
            undone = self.session.undo()
            self._stale = True
            with _later("it is taken back; the App shows it after the next sync"):
                self._show(undone)
        return undone

    def next_batch(self, n: int = BATCH) -> list[str]:
        """Rank anew, and return FiftyOne's ids of the samples to look at next, most valuable first."""
        with self._lock:
            self.read_back()
            if (tables := self._reload()) is not None:
                self.session.open(tables)
                self.media |= set(self.session.samples["path"])
            else:
                self.session.refresh()
            sync(self.dataset, sample_rows(self.session))
            self._stale = True
            return ids_of(self.dataset, self.session.batch(n))

    def read_back(self) -> list[str]:
        """Turn labels that were edited and tags that name a verdict into verdicts."""
        with self._lock:
            decided = [*self._edits(), *self._tags()]
        if decided:
            log.info("read back from the App: %d verdicts", len(decided))
        return decided

    def forecast(self) -> Forecast:
        """How far the review has come. Computed anew in the background after a verdict; at first at once."""
        if self._forecast is None:
            self._think()
        elif self._stale and not self._thinking.locked():
            threading.Thread(target=self._think, daemon=True).start()
        assert self._forecast is not None
        return self._forecast

    def _think(self) -> None:
        with self._thinking:
            self._stale = False
            self._forecast = self.session.forecast()

    def _show(self, sample_ids: Collection[str]) -> None:
        """Write the verdicts in force on these samples, and the labels that follow, into the dataset."""
        last = self.session.last_verdicts(sample_ids)
        fields = {sample_id: decision_fields(last.get(sample_id)) for sample_id in sample_ids}
        write_decisions(self.dataset, fields, {sample_id: self.session.label_of(sample_id) for sample_id in sample_ids})

    def _edits(self) -> list[str]:
        decided: list[str] = []
        for sample_id, label in edited_labels(self.dataset).items():
            try:
                if label is None:
                    raise ReviewError(f"the label of {sample_id} was removed", do="drop the sample, or relabel it")
                decided += self.decide(lambda session, s=sample_id, to=label: session.settle(s, to, reason=EDITED))  # type: ignore[misc]
            except CurateError as error:
                log.warning("%s; the label is put back", error.found)
                self._show([sample_id])
        return decided

    def _tags(self) -> list[str]:
        decided: list[str] = []
        for sample_id, tags in tagged(self.dataset).items():
            for tag in tags:
                try:
                    decided += self._tag(sample_id, tag)
                except CurateError as error:
                    log.warning("the tag %r of %s is no verdict: %s", tag, sample_id, error.found)
        return decided

    def _tag(self, sample_id: str, tag: str) -> list[str]:
        """The verdict of one tag, if it is one; the tag goes once the ledger has it."""
        if tag == ACCEPT:
            decided = self.decide(lambda session: session.accept([sample_id]))
        elif tag.startswith(RELABEL):
            label = tag.removeprefix(RELABEL).strip()
            decided = self.decide(lambda session: session.decide([sample_id], "relabel", label=label, reason=TAGGED))
        elif tag in ACTIONS and tag != "relabel":
            decided = self.decide(lambda session: session.decide([sample_id], tag, reason=TAGGED))
        else:
            return []
        take_tags(self.dataset, [sample_id], [tag])
        return decided


@contextlib.contextmanager
def _later(message: str) -> Iterator[None]:
    """MongoDB may be away for a moment; the ledger has what matters, and a sync catches up."""
    from pymongo.errors import PyMongoError

    try:
        yield
    except PyMongoError as error:
        log.warning("%s (%s)", message, error)


_current: AppSession | None = None


def begin(app_session: AppSession) -> None:
    """Make this the sitting that the plugin's operators work on."""
    global _current
    _current = app_session


def current() -> AppSession:
    """The sitting of this process."""
    if _current is None:
        raise ReviewError("no review is open in this process", do="curate review")
    return _current


def issues_of_view(name: str | None) -> tuple[str, ...]:
    """The issues that a verdict in this saved view is about; none in particular elsewhere."""
    return ISSUES_OF.get(name or "", ())
