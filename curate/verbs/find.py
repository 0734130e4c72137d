"""`curate find`: every finder over the numbers of the last scan."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from curate.artifacts import (
    CLASS_REPORT,
    SPLIT_PROOF,
)
from curate.config import FindOptions, SplitOptions
from curate.find.facts import RESTS_ON, Facts, Finder, chosen, needs
from curate.machine.allocator import give_back
from curate.progress import Progress, silent
from curate.schema import TABLES, conform
from curate.verbs.own import Own, forget_own, keep_own, own_kinds
from curate.verbs.prepare import STEPS, Preparation, neighbors_of, open_facts, splitting_so_far
from curate.workspace import Workspace


@dataclass(frozen=True)
class FindSummary:
    """What was flagged, and how the splits came out."""

    flagged: dict[str, int]  # issue → number of samples flagged
    n_samples: int
    split_proof: str
    not_run: dict[str, str] = field(default_factory=dict)  # finder → why these samples give it nothing to go by
    own: list[str] = field(default_factory=list)  # what the user gave in place of ours: embeddings, pred_probs

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        found = sorted(((n, issue) for issue, n in self.flagged.items() if n), reverse=True)
        lines = [f"  {issue.replace('_', ' '):<20}{n:>8,}  {n / self.n_samples:6.1%}" for n, issue in found]
        nothing = [issue.replace("_", " ") for issue, n in self.flagged.items() if not n]
        lines += [f"  none: {', '.join(nothing)}"] if nothing else []
        lines += [f"  not run: {name} ({why})" for name, why in self.not_run.items()]
        lines += [f"  by your own {' and '.join(self.own)}, until curate find --forget"] if self.own else []
        return "\n".join([self.split_proof, "", f"Flagged among {self.n_samples:,} samples:", *lines])


def find(
    workspace: Workspace,
    *,
    options: FindOptions | None = None,
    splitting: SplitOptions | None = None,
    own: Own | None = None,
    forget: Collection[str] = (),
    progress: Progress = silent,
) -> FindSummary:
    """Bring neighbours, duplicates, predictions, consensus and splits up to date, then run every finder.

    Only what is missing or stale is computed. Writes `samples`, the issues, and what they rest on. Without
    `splitting`, splits are made as they were before; other options than then divide all samples anew.

    Parameters
    ----------
    own : embeddings or probabilities of the user's own, which are kept and used by every later `find`
    forget : of `curate.artifacts.OWN`, what was given earlier and is to be used no more

    Raises
    ------
    InputError : what was given does not cover the samples or classes there are
    """
    from curate.find import all_finders

    options, splitting = options or FindOptions(), splitting or splitting_so_far(workspace)
    finders = all_finders()
    plan = Preparation(workspace, options, splitting, progress)
    with workspace.writing(), progress("find", len(STEPS) + len(finders), "steps") as advance:
        forget_own(workspace, forget)
        keep_own(workspace, own or Own())
        facts = open_facts(workspace)
        for step in STEPS:
            facts = step(plan, facts)
            give_back()
            advance(1)
        flagged: dict[str, int] = {}
        not_run: dict[str, str] = {}
        for name, finder in finders.items():
            if reason := reason_against(facts, finder):
                not_run[name] = reason
                workspace.forget(name)
            else:
                flagged |= run_finder(plan, facts, name, finder)
            give_back()
            advance(1)
        keep_class_report(plan, facts)
    return FindSummary(flagged, len(facts.scan), workspace.read(SPLIT_PROOF)["text"], not_run, own_kinds(workspace))


def reason_against(facts: Facts, finder: Finder) -> str:
    """Why `finder` can't run on these samples; empty where it can."""
    return "; ".join(facts.lacking[name] for name in needs(finder, facts.offered()) if name in facts.lacking)


def run_finder(plan: Preparation, facts: Facts, name: str, finder: Finder) -> dict[str, int]:
    """Run one finder where its table is stale, keep a row for every sample, and count its flags."""
    from curate.issues.table import cover_all, issue_names
    from curate.schema import validate_issues

    wanted, options = needs(finder, facts.offered()), chosen(finder, plan.options)

    def make() -> pd.DataFrame:
        table = cover_all(finder(**wanted, **options), facts.scan["sample_id"])
        return conform(name, table) if name in TABLES else validate_issues(issue_names(table), table)

    table = plan.workspace.derive(name, make, inputs=_inputs_of(plan.workspace, wanted), parameters=options)
    return {issue: int(table[f"is_{issue}_issue"].sum()) for issue in issue_names(table)}


def _inputs_of(workspace: Workspace, wanted: Iterable[str]) -> list[str]:
    """The files that these facts, and the list of samples to cover, come from."""
    files = {"scan", *(file for name in wanted for file in RESTS_ON[name])}
    return sorted(files | ({neighbors_of(workspace)} if "neighbors" in wanted else set()))


def keep_class_report(plan: Preparation, facts: Facts) -> None:
    """What the report says of classes; nothing where there is nothing to go by."""
    from curate.find.classes.report import class_report

    if reason_against(facts, class_report):
        plan.workspace.forget(CLASS_REPORT)
        return
    wanted, options = needs(class_report, facts.offered()), chosen(class_report, plan.options)
    inputs = _inputs_of(plan.workspace, wanted)
    plan.workspace.derive(CLASS_REPORT, lambda: class_report(**wanted, **options), inputs=inputs, parameters=options)
