"""A workspace from Python: `Dataset` has a method for every command of `curate`, and shows itself in a notebook.

    ds = curate.open("ws")
    ds.ingest("photos/")
    ds.show("label")                                             # the worst, with evidence
    ds.decide(issue="label", above=0.95, action="relabel")
    ds.apply(); ds.retrain(); ds.report()

The names are those of the commands, the options those of `curate.config`. `curate demo` has no method: it makes a
workspace of its own. Results are tables or small summaries; print them with `.to_text()`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from curate.checks import as_path, options_of
from curate.config import AnnotationOptions, EmbedOptions, FindOptions, PolicyOptions, SplitOptions, TrainOptions
from curate.errors import CurateError, ReviewError, StageMissing, WrongUsage
from curate.progress import Progress, silent
from curate.text import csv_text
from curate.workspace import Workspace

if TYPE_CHECKING:
    from curate.gallery import Gallery
    from curate.verbs.apply import ApplySummary
    from curate.verbs.decide import DecideSummary
    from curate.verbs.find import FindSummary
    from curate.verbs.ingest import IngestSummary
    from curate.verbs.retrain import RetrainSummary
    from curate.verbs.review import ReviewSummary

Source = str | Path


class Dataset:
    """One labelled image data set and everything that is known of it, in a workspace folder.

    Parameters
    ----------
    root : the workspace; `ingest` makes it where there is none
    progress : how work shows itself; default: not at all
    """

    def __init__(self, root: Source, *, progress: Progress = silent) -> None:
        self.root, self.progress = as_path(root, "the workspace"), progress
        if (self.root / "workspace.json").exists():
            _ = self.workspace  # of another version or damaged: better said now
        elif self.root.exists():
            Workspace.refuse_to_mix(self.root)

    @property
    def workspace(self) -> Workspace:
        """The folder's tables by name; raises WorkspaceError where nothing was ingested yet."""
        return Workspace(self.root)

    @property
    def samples(self) -> pd.DataFrame:
        """Table SAMPLES: a row per image with label, split and measurements."""
        return pd.DataFrame(self.workspace.read("samples"))

    # ---- ingest, embed, find ---------------------------------------------------------------------

    def ingest(
        self,
        source: Source,
        *,
        annotations: Source | Sequence[Source] = (),
        image_root: Source | None = None,
        annotating: AnnotationOptions | None = None,
        embedding: EmbedOptions | None = None,
        splitting: SplitOptions | None = None,
        finding: FindOptions | None = None,
        embeddings: Any = None,
        pred_probs: Any = None,
        ids: Any = None,
        classes: Any = None,
    ) -> IngestSummary:
        """Read labels, look at every image once, find what is wrong. Again after adding images: only new ones are read.

        Parameters
        ----------
        source : a folder (CLASS/img.jpg, SPLIT/CLASS/img.jpg) or a manifest (CSV, Parquet, JSONL)
        annotations : files that say who called which image what
        image_root : where a manifest's paths start; default: its folder
        annotating, embedding, splitting, finding : options of the steps
        embeddings, pred_probs, ids, classes : your own, as for `find`
        """
        from curate.verbs.ingest import ingest
        from curate.verbs.own import as_own

        files = [annotations] if isinstance(annotations, str | Path) else annotations
        own = as_own(embeddings, pred_probs, ids, classes)
        return ingest(
            Workspace.create(self.root),
            as_path(source, "source"),
            annotations=[as_path(file, "annotations") for file in files],
            image_root=_path(image_root),
            annotating=annotating,
            embedding=embedding,
            splitting=splitting,
            finding=finding,
            own=own,
            progress=self.progress,
        )

    def embed(self, options: EmbedOptions | None = None, **changes: Any) -> pd.DataFrame:
        """Look at every file once: hash, measure, embed. `ingest` does this too.

        Parameters
        ----------
        options, changes : `EmbedOptions`, or its fields by name: `ds.embed(model="resnet18")`

        Returns
        -------
        Table SCAN; `find` then runs the finders over it
        """
        from curate.verbs.embed import embed

        return embed(self.workspace, options=options_of(EmbedOptions, options, changes), progress=self.progress)

    def find(
        self,
        options: FindOptions | None = None,
        *,
        splitting: SplitOptions | None = None,
        embeddings: Any = None,
        pred_probs: Any = None,
        ids: Any = None,
        classes: Any = None,
        forget: Collection[str] = (),
        **changes: Any,
    ) -> FindSummary:
        """Run every finder over the last scan. `ingest` does this too.

        Parameters
        ----------
        options, changes : `FindOptions`, or its fields by name: `ds.find(predictions="trainer")`
        splitting : other shares or another seed divide all samples anew
        embeddings : (M, d) of your own network: they take the place of curate's for neighbours, outliers, duplicates
            and the probe. An array with `ids`, a DataFrame with the ids as index, or a file (.npy, .csv, .parquet)
        pred_probs : (M, C) out-of-sample probabilities of your own model: they take the place of the probe's. Likewise
        ids : (M,) the `sample_id` or the path of each row, or a file with one on each line
        classes : (C,) the class of each column of `pred_probs`; default: the columns of a table, else the labels sorted
        forget : "embeddings" or "pred_probs" that were given earlier. Until then every later `find` uses them

        Raises
        ------
        InputError : what is given does not cover each readable image and each class
        """
        from curate.verbs.find import find
        from curate.verbs.own import as_own

        kinds = [forget] if isinstance(forget, str) else forget
        return find(
            self.workspace,
            options=options_of(FindOptions, options, changes),
            splitting=splitting,
            own=as_own(embeddings, pred_probs, ids, classes),
            forget=kinds,
            progress=self.progress,
        )

    # ---- looking -----------------------------------------------------------------------------------

    def status(self) -> pd.DataFrame:
        """Which stages are done, stale or never run: `stage, state, made, detail`."""
        from curate.verbs.status import status

        return pd.DataFrame(status(self.workspace))

    def issues(self, issue: str | None = None, *, everything: bool = False) -> pd.DataFrame:
        """What was found: without `issue` one row per sample, with it the finder's rows.

        Parameters
        ----------
        issue : such as "label", "leak", "outlier", "blurry"
        everything : with `issue`, also the samples that are not flagged

        Returns
        -------
        `sample_id` and `is_<issue>_issue`, `<issue>_score` of every issue (as cleanlab's `get_issues`); or of one
        issue the flagged samples, worst first, with the finder's evidence
        """
        from curate.verbs.issues import list_issue, sample_issues

        if issue is None:
            return sample_issues(self.workspace)
        return list_issue(self.workspace, issue, everything=everything)

    def count_issues(self) -> pd.DataFrame:
        """`issue, flagged, scored, share`: what `curate issues` prints."""
        from curate.verbs.issues import count_issues

        return count_issues(self.workspace)

    def show(self, issue: str = "label", n: int = 12) -> Gallery:
        """The n worst samples of an issue as thumbnails with their evidence, for a notebook.

        Parameters
        ----------
        issue : such as "label", "leak", "outlier", "blurry"
        n : how many
        """
        from curate.gallery import gallery

        return gallery(self.workspace, issue, n)

    def check(self, *limits: str) -> pd.DataFrame:
        """Compare what is flagged with limits such as "leak=0" or "label=2%": `issue, flagged, share, allowed, ok`."""
        from curate.verbs.issues import check

        return pd.DataFrame(check(self.workspace, limits))

    # ---- deciding ------------------------------------------------------------------------------------

    def review(
        self,
        form: str = "html",
        *,
        issue: str | None = None,
        limit: int = 300,
        out: Source | None = None,
        reviewer: str = "",
        double: bool = False,
        address: str = "127.0.0.1",
        port: int | None = None,
        exposed: bool = False,
        browser: bool = True,
    ) -> ReviewSummary | None:
        """Write the open questions, worst first, as a page or a CSV for `decide`; or open the FiftyOne App.

        Parameters
        ----------
        form : "html", "csv" or "app"; the App is served until Ctrl-C, so not from a notebook
        issue : only this one; in the App the view to begin with
        limit, out : of page and CSV: how many; where to
        reviewer, double, address, port, exposed, browser : of the App, as the options of `curate review`
        """
        if form not in ("html", "csv", "app"):
            raise WrongUsage(f"form is '{form}'", "html, csv or app")
        if form != "app":
            from curate.verbs.review import review

            return review(self.workspace, form=form, issue=issue, limit=limit, out=_path(out))
        from curate.verbs.app import review_app
        from curate.verbs.decide import reviewer_name

        _refuse_inside_a_loop(self.root)
        serving = {"double": double, "address": address, "port": port, "exposed": exposed, "browser": browser}
        review_app(self.workspace, reviewer=reviewer_name(reviewer), issue=issue, **serving)  # type: ignore[arg-type]
        return None

    def decide(
        self,
        verdicts: Source | pd.DataFrame | None = None,
        *,
        issue: str | None = None,
        above: float | None = None,
        action: str | None = None,
        reviewer: str = "",
        reason: str = "",
        new_classes: bool = False,
    ) -> DecideSummary:
        """Record verdicts, from a file or a table, or in bulk by threshold. Durable when it returns.

        Parameters
        ----------
        verdicts : a CSV as `review` writes it, or a table `sample_id, issue, action` and where wanted `label, reason`
        issue, above, action : the same verdict on every undecided flag of P(right) above this; action is keep, relabel,
            drop or unsure
        reviewer : who decides; default: the login name
        reason : kept with the decisions that give none
        new_classes : accept labels that no sample has yet
        """
        from curate.verbs.decide import decide_by_threshold

        by_rule = issue is not None and above is not None and action is not None
        is_partly_a_rule = issue is not None or above is not None or action is not None
        if (verdicts is None) != by_rule or (verdicts is not None and is_partly_a_rule):
            raise WrongUsage(
                "decide takes verdicts, or issue with above and action", 'decide(issue="label", above=…, …)'
            )
        if verdicts is not None:
            return self._decide_from(verdicts, reviewer, reason, new_classes)
        assert issue is not None and above is not None and action is not None
        return decide_by_threshold(self.workspace, issue, above, action, reviewer=reviewer, reason=reason)

    def _decide_from(
        self, verdicts: Source | pd.DataFrame, reviewer: str, reason: str, new_classes: bool
    ) -> DecideSummary:
        from curate.verbs.decide import decide_from_file

        said: dict[str, Any] = {"reviewer": reviewer, "reason": reason, "new_classes": new_classes}
        if not isinstance(verdicts, pd.DataFrame):
            return decide_from_file(self.workspace, Path(verdicts), **said)
        with tempfile.TemporaryDirectory(prefix="curate-") as folder:
            file = Path(folder) / "verdicts.csv"
            # half of a UTF-16 pair goes along, and is a row that can't be used
            file.write_bytes(csv_text(verdicts).encode("utf-8", "surrogatepass"))
            return decide_from_file(self.workspace, file, **said)

    def undo(self, last: int | None = None, *, ids: Sequence[int] = (), reviewer: str = "") -> list[int]:
        """Take the last entries, or decisions by their numbers, back; nothing is erased. Returns the numbers."""
        from curate.verbs.decide import undo

        if (last is None) == (not ids):
            raise WrongUsage("undo takes last or ids", "one of them: undo(last=1)")
        return undo(self.workspace, ids=list(ids), last=last, reviewer=reviewer)

    # ---- a new version, a new model -------------------------------------------------------------------

    def apply(
        self,
        options: PolicyOptions | None = None,
        *,
        dry_run: bool = False,
        export: Source | None = None,
        how: str = "symlink",
        csv: Source | None = None,
        **changes: Any,
    ) -> ApplySummary:
        """Turn decisions into a new version; images and older versions stay as they are.

        Parameters
        ----------
        options, changes : `PolicyOptions`, or its fields by name: `ds.apply(relabel_above=0.95)`
        dry_run : say what would change, write nothing
        export, how : also write the version as a folder tree, of symlink, hardlink or copy
        csv : also write it as a CSV manifest
        """
        from curate.verbs.apply import apply

        return apply(
            self.workspace,
            options=options_of(PolicyOptions, options, changes),
            dry_run=dry_run,
            export_to=_path(export),
            how=how,
            csv=_path(csv),
            progress=self.progress,
        )

    def diff(self, before: int | None = None, after: int | None = None) -> pd.DataFrame:
        """What changed between two versions (0 = as ingested); default: the last and its parent."""
        from curate.verbs.apply import diff

        return diff(self.workspace, before, after)

    def retrain(
        self, options: TrainOptions | None = None, *, before: int = 0, after: int | None = None, **changes: Any
    ) -> RetrainSummary:
        """Train on the version before, after and a random control; compare them on the same test split.

        Parameters
        ----------
        options, changes : `TrainOptions`, or its fields by name: `ds.retrain(preset="full", epochs=30)`
        before, after : versions; 0 = as ingested, None = the last
        """
        from curate.verbs.retrain import retrain

        training = options_of(TrainOptions, options, changes)
        return retrain(self.workspace, before=before, after=after, options=training, progress=self.progress)

    def report(self, out: Source | None = None) -> Path:
        """Write one self-contained HTML page with everything that is known; returns where it is."""
        from curate.verbs.report import report

        return report(self.workspace, out=_path(out))

    # ---- in a notebook -------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"Dataset({self.root}): {self._state()}"

    def _state(self) -> str:
        try:
            samples = self.workspace.read("samples")
        except StageMissing:
            return "nothing found yet"
        except CurateError as error:
            return error.found if self.root.exists() else "nothing ingested yet"
        return f"{len(samples):,} samples, {samples['label'].nunique():,} classes"

    def _repr_html_(self) -> str:
        from curate.gallery import summary_html

        state = self._state()
        try:
            return summary_html(self.root, state, self.workspace)
        except CurateError:  # nothing found yet, stale or damaged: a cell that ends with `ds` is no place to fail
            return summary_html(self.root, state, None)


def _path(given: Source | None) -> Path | None:
    return None if given is None else as_path(given, "the path")


def _refuse_inside_a_loop(root: Path) -> None:
    """The App runs an event loop of its own, which can't be begun inside a notebook's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ReviewError(
        "the App can't be served from inside a notebook", "a terminal", f"curate review -w {root}, or form='html'"
    )
