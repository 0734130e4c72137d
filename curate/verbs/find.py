"""`curate find`: every finder over the numbers of the last scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from curate.artifacts import (
    CLASS_REPORT,
    SPLIT_PROOF,
    SPLIT_TABLE,
)
from curate.config import FindOptions, SplitOptions
from curate.errors import DamagedFile, StageMissing
from curate.find.facts import RESTS_ON, Facts
from curate.machine.allocator import give_back
from curate.progress import Progress, silent
from curate.schema import TABLES, conform
from curate.verbs.prepare import (
    add_neighbors,
    add_pairs,
    add_prediction,
    add_splits,
    log,
    neighbors_of,
    open_facts,
    splitting_so_far,
)
from curate.workspace import Workspace

Finder = Callable[..., pd.DataFrame]


@dataclass(frozen=True)
class FindSummary:
    """What was flagged, and how the splits came out."""

    flagged: dict[str, int]  # issue → number of samples flagged
    n_samples: int
    split_proof: str
    not_run: dict[str, str] = field(default_factory=dict)  # finder → why these samples give it nothing to go by

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        found = sorted(((n, issue) for issue, n in self.flagged.items() if n), reverse=True)
        lines = [f"  {issue.replace('_', ' '):<20}{n:>8,}  {n / self.n_samples:6.1%}" for n, issue in found]
        nothing = [issue.replace("_", " ") for issue, n in self.flagged.items() if not n]
        lines += [f"  none: {', '.join(nothing)}"] if nothing else []
        lines += [f"  not run: {name} ({why})" for name, why in self.not_run.items()]
        return "\n".join([self.split_proof, "", f"Flagged among {self.n_samples:,} samples:", *lines])


def find(
    workspace: Workspace,
    *,
    options: FindOptions | None = None,
    splitting: SplitOptions | None = None,
    progress: Progress = silent,
) -> FindSummary:
    """Bring neighbours, duplicates, predictions, consensus and splits up to date, then run every finder.

    Only what is missing or stale is computed. Writes `samples`, the issues, and what they rest on. Without
    `splitting`, splits are made as they were before; other options than then divide all samples anew.
    """
    from curate.find import all_finders

    options, splitting = options or FindOptions(), splitting or splitting_so_far(workspace)
    finders = all_finders()
    predicting = partial(add_prediction, progress=progress)
    preparing: list[Callable[..., None]] = [add_neighbors, add_pairs, predicting, add_splits]
    with workspace.writing(), progress("find", len(preparing) + len(finders), "steps") as advance:
        facts = open_facts(workspace)
        for prepare in preparing:
            prepare(workspace, facts, options, splitting)
            give_back()
            advance(1)
        flagged: dict[str, int] = {}
        not_run: dict[str, str] = {}
        for name, finder in finders.items():
            if reason := reason_against(facts, finder):
                not_run[name] = reason
                workspace.forget(name)
            else:
                flagged |= run_finder(workspace, facts, name, finder)
            give_back()
            advance(1)
        keep_class_report(workspace, facts)
    return FindSummary(flagged, len(facts.scan), workspace.read(SPLIT_PROOF)["text"], not_run)


def _earlier_splits(workspace: Workspace, splitting: SplitOptions, none: pd.DataFrame) -> pd.DataFrame:
    """sample_id, sha256 and split as an earlier ingest with these options made them.

    Where that file is damaged, as the samples have them: a test image must not come to be learned from.
    """
    try:
        made = workspace.sidecar(SPLIT_TABLE)
        return workspace.read(SPLIT_TABLE) if made and made["parameters"] == asdict(splitting) else none
    except DamagedFile as error:
        log.warning("%s; the splits are taken from tables/samples.parquet", error.found)
    try:
        samples = workspace.read("samples")
    except (DamagedFile, StageMissing) as error:
        raise DamagedFile(
            f"{workspace.file_of(SPLIT_TABLE)} is damaged, and so are the samples, which would tell the splits too",
            do="put one of them back from a copy; or delete the first, and curate ingest divides all images anew",
        ) from error
    return samples.loc[samples["split"].notna() & samples["status"].eq("ok"), ["sample_id", "sha256", "split"]]


def reason_against(facts: Facts, finder: Finder) -> str:
    """Why `finder` can't run on these samples; empty where it can."""
    from curate.find.facts import needs

    return "; ".join(facts.lacking[name] for name in needs(finder, facts.offered()) if name in facts.lacking)


def run_finder(workspace: Workspace, facts: Facts, name: str, finder: Finder) -> dict[str, int]:
    """Run one finder where its table is stale, keep a row for every sample, and count its flags."""
    from curate.find.facts import needs
    from curate.issues.table import cover_all, issue_names
    from curate.schema import validate_issues

    wanted = needs(finder, facts.offered())

    def make() -> pd.DataFrame:
        table = cover_all(finder(**wanted), facts.scan["sample_id"])
        return conform(name, table) if name in TABLES else validate_issues(issue_names(table), table)

    table = workspace.derive(name, make, inputs=_inputs_of(workspace, wanted))
    return {issue: int(table[f"is_{issue}_issue"].sum()) for issue in issue_names(table)}


def _inputs_of(workspace: Workspace, wanted: Iterable[str]) -> list[str]:
    """The files that these facts, and the list of samples to cover, come from."""
    files = {"scan", *(file for name in wanted for file in RESTS_ON[name])}
    return sorted(files | ({neighbors_of(workspace)} if "neighbors" in wanted else set()))


def keep_class_report(workspace: Workspace, facts: Facts) -> None:
    from curate.find.classes.report import class_report
    from curate.find.facts import needs

    if reason_against(facts, class_report):
        workspace.forget(CLASS_REPORT)
        return
    wanted = needs(class_report, facts.offered())
    workspace.derive(CLASS_REPORT, lambda: class_report(**wanted), inputs=_inputs_of(workspace, wanted))
