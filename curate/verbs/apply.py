"""`curate apply` and `curate diff`: decisions become a new version; the old ones stay."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd

from curate.artifacts import APPLIED, AS_INGESTED, INGESTED
from curate.config import PolicyOptions
from curate.errors import ExportError, StageMissing, WorkspaceError
from curate.files import Shape, digest_of, read_sealed, read_table, replacing_folder, sealed
from curate.progress import Progress, silent
from curate.verbs.decide import digest_of_decisions, recorded_decisions
from curate.verbs.issues import found_issues
from curate.version import __version__
from curate.workspace import Workspace

ANOTHER = "curate apply, which makes another from the decisions; or put the file back from a copy"
FACTS: Shape = {  # of version.json
    "version": int,
    "parent": int,
    "policy": {...: object},
    "counts": {...: int},
    "digests": {"manifest": str, "rejected": str, ...: str},
    "samples": str,
    "curate": str,
    "made": str,
}


@dataclass(frozen=True)
class ApplySummary:
    """The version that was made (None on a dry run), and what it changes."""

    version: int | None
    counts: dict[str, int]
    actions: pd.DataFrame  # ACTIONS_TABLE
    stale: pd.DataFrame  # decisions that no longer apply, with the column `why`
    written: list[Path]

    def to_dict(self) -> dict[str, Any]:
        return {"version": self.version, **self.counts, "written": [str(path) for path in self.written]}

    def to_text(self) -> str:
        lines = [f"Version {self.version}" if self.version is not None else "Dry run: nothing written"]
        lines += [f"  {name.replace('_', ' '):<14}{count:>8,}" for name, count in self.counts.items()]
        held = self.actions.loc[self.actions["action"].eq("keep"), "reason"].str.split(": would").str[0].value_counts()
        lines += [f"  held back: {reason} ({count:,})" for reason, count in held.items()]
        stale = self.stale["why"].value_counts()
        lines += [f"  no longer applies: {why} ({count:,})" for why, count in stale.items()]
        return "\n".join(lines + [f"  written: {path}" for path in self.written])


def apply(
    workspace: Workspace,
    *,
    options: PolicyOptions | None = None,
    dry_run: bool = True,
    export_to: Path | None = None,
    how: str = "symlink",
    csv: Path | None = None,
    progress: Progress = silent,
) -> ApplySummary:
    """Turn decisions, and thresholds where asked, into the next version. The same decisions make no second one.

    Raises
    ------
    PolicyError : the verdicts would empty a class or go beyond its cap
    ExportError : the export would lie among the originals; or it can't be written, and the version is made all the same
    StaleVersion : files to export have changed since they were ingested; the version is made all the same
    """
    from curate.apply.policy import plan
    from curate.apply.version import build
    from curate.decisions.moves import reconcile

    options = options or PolicyOptions()
    if export_to:
        _refuse_among_originals(workspace, export_to)
    with workspace.writing():
        samples, pairs, issues = (
            workspace.read("samples"),
            workspace.read("near_duplicate_pairs"),
            found_issues(workspace),
        )
        recorded = recorded_decisions(workspace)  # once: verdicts may come in meanwhile
        reconciled = reconcile(recorded, samples, pairs)
        actions = plan(samples, issues, reconciled.decisions, pairs, options=options)
        manifest, rejected = build(samples, actions)
        counts = {
            "samples": len(manifest),
            "relabelled": int(actions["action"].eq("relabel").sum()),
            "dropped": int(actions["action"].eq("drop").sum()),
            "unreadable": int(rejected["decided_by"].eq("unreadable").sum()),
        }
        if dry_run:
            return ApplySummary(None, counts, actions, reconciled.stale, [])
        tables = {INGESTED: _as_ingested(samples), "manifest": manifest, "rejected": rejected, "actions": actions}
        version = _keep(workspace, tables, counts, options)
        workspace.write(
            APPLIED,
            {"version": version},
            parameters={"policy": asdict(options), "decisions": digest_of_decisions(recorded)},
            inputs=["samples", *issues],
        )
    return ApplySummary(version, counts, actions, reconciled.stale, _export(manifest, export_to, how, csv, progress))


def manifest_of(workspace: Workspace, version: int) -> pd.DataFrame:
    """The manifest of a version; 0 is the data set as ingested, without what can't be read."""
    return _as_ingested(workspace.read("samples")) if version == AS_INGESTED else _read(workspace, version, "manifest")


def manifests_of(workspace: Workspace, before: int, after: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifests of two versions to compare. Beside another, 0 is the data set as ingested when that was made.

    What was ingested since would else look as if the other version had left it out.
    """
    if before == AS_INGESTED != after:
        return _read(workspace, after, INGESTED), manifest_of(workspace, after)
    if after == AS_INGESTED != before:
        return manifest_of(workspace, before), _read(workspace, before, INGESTED)
    return manifest_of(workspace, before), manifest_of(workspace, after)


def latest_version(workspace: Workspace) -> int:
    """The number of the last version that apply made."""
    if not (numbers := workspace.numbered("versions")):
        raise StageMissing("there is no version yet", "decisions turned into one", "curate apply")
    return numbers[-1]


def diff(workspace: Workspace, before: int | None = None, after: int | None = None) -> pd.DataFrame:
    """What changed from one version to another; by default from the last one's parent to the last."""
    from curate.apply.version import diff as differ

    after = latest_version(workspace) if after is None else after
    before = version_facts(workspace, after)["parent"] if before is None else before
    rejected = None if after == AS_INGESTED else _read(workspace, after, "rejected")
    return differ(*manifests_of(workspace, before, after), rejected=rejected)


def version_facts(workspace: Workspace, version: int) -> dict[str, Any]:
    """`version.json`: parent, policy, counts, digests, when."""
    if version == AS_INGESTED:
        return {"version": AS_INGESTED, "parent": AS_INGESTED}
    if version not in workspace.numbered("versions"):
        known = ", ".join(map(str, [AS_INGESTED, *workspace.numbered("versions")]))
        raise StageMissing(f"there is no version {version}", f"one of {known}", "curate apply")
    file = workspace.path("versions", str(version), "version.json")
    return read_sealed(file, FACTS, do=ANOTHER)


def _as_ingested(samples: pd.DataFrame) -> pd.DataFrame:
    from curate.apply.version import build
    from curate.schema import empty

    return build(samples, empty("actions"))[0]


def _read(workspace: Workspace, version: int, name: str) -> pd.DataFrame:
    """A table of a version, if it is what apply wrote."""
    digests = version_facts(workspace, version)["digests"]
    if INGESTED not in digests:
        raise WorkspaceError(
            f"version {version} is of an earlier curate, which did not keep what it was made of",
            do="curate apply, which makes one that can be compared; then curate retrain",
        )
    file = workspace.path("versions", str(version), f"{name}.parquet")
    return read_table(file, digest=digests[name], do=ANOTHER)


def _keep(workspace: Workspace, tables: dict[str, pd.DataFrame], counts: dict[str, int], options: PolicyOptions) -> int:
    """Write the next version, whole or not at all; one that equals the last is not written again."""
    numbers = workspace.numbered("versions")
    parent = numbers[-1] if numbers else AS_INGESTED
    number = parent + 1
    if numbers and _is_same(workspace, parent, tables):
        return parent
    with replacing_folder(workspace.path("versions", str(number))) as folder:
        for name, table in tables.items():
            table.to_parquet(folder / f"{name}.parquet", index=False)
        facts = {
            "version": number,
            "parent": parent,
            "policy": asdict(options),
            "counts": counts,
            "digests": {name: digest_of(folder / f"{name}.parquet") for name in tables},
            "samples": workspace.digest("samples"),
            "curate": __version__,
            "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        (folder / "version.json").write_text(json.dumps(sealed(facts), indent=1))
    return number


def _is_same(workspace: Workspace, version: int, tables: dict[str, pd.DataFrame]) -> bool:
    """Whether a version says the same; one that can't be read doesn't."""
    with suppress(WorkspaceError):
        return all(tables[name].equals(_read(workspace, version, name)) for name in (INGESTED, "manifest", "rejected"))
    return False


def _refuse_among_originals(workspace: Workspace, out: Path) -> None:
    """Raise where an export would lie in the user's folder of images: the next ingest would take it for a class.

    A manifest without an image root names its images, and may lie in the folder that everything else is in.
    """
    made = workspace.sidecar("sources")
    given = made["parameters"] if made else {}
    if not given or (given["layout"] == "manifest" and given["image_root"] is None):
        return
    if out.resolve().is_relative_to(Path(given["source"]).resolve()):
        raise ExportError(
            f"{out} lies in {given['source']}, among the originals", "a folder outside", "export elsewhere"
        )


def _export(manifest: pd.DataFrame, out: Path | None, how: str, csv: Path | None, progress: Progress) -> list[Path]:
    from curate.formats.tree import export, export_csv

    if out:
        with progress("export", len(manifest), "img") as advance:
            export(manifest, out, how=how, advance=advance)
    if csv:
        export_csv(manifest, csv)
    return [path for path in (out, csv) if path]
