"""Commands that look at data: ingest, embed, find, status, issues, check."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from curate.cli.group import main
from curate.cli.options import embed_options, find_options, own_options, split_options, with_json, with_workspace
from curate.cli.output import as_table, open_workspace, print_json, progress_bar, say
from curate.config import AnnotationOptions, EmbedOptions, FindOptions, SplitOptions


@main.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--annotations",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Who called what, long or wide; CSV, Parquet, JSONL. May repeat: later files answer again.",
)
@click.option(
    "--image-root", type=click.Path(path_type=Path), help="Where a manifest's paths start; default: its folder."
)
@click.option(
    "--conflict-limit",
    type=click.FloatRange(0, 1),
    default=AnnotationOptions.conflict_limit,
    show_default=True,
    help="Above this conflict rate a third annotator is called for.",
)
@embed_options
@split_options
@find_options
@own_options
@with_workspace
@with_json
def ingest(
    source: Path,
    annotations: tuple[Path, ...],
    image_root: Path | None,
    conflict_limit: float,
    embedding: EmbedOptions,
    splitting: SplitOptions | None,
    finding: FindOptions,
    own: Any,
    root: Path,
    as_json: bool,
) -> None:
    """Read labels, look at every image once, find what is wrong.

    SOURCE is a folder (CLASS/img.jpg or SPLIT/CLASS/img.jpg) or a manifest (CSV, Parquet, JSONL) with
    a column `image` and any of `label`, `split`, `group`. Run it again after adding images: only what
    is new is opened.

    \b
    curate ingest photos/
    curate ingest samples.csv --annotations annotations.csv -w ws
    curate ingest photos/ --finetune   train networks to judge the labels; slow on a CPU
    """
    from curate.verbs.ingest import ingest as run

    summary = run(
        open_workspace(root, create=True),
        source,
        annotations=annotations,
        image_root=image_root,
        annotating=AnnotationOptions(conflict_limit=conflict_limit),
        embedding=embedding,
        splitting=splitting,
        finding=finding,
        own=own,
        progress=progress_bar(),
    )
    if as_json:
        print_json(summary.to_dict())
        return
    say(summary.to_text())
    say(f"\nNext: curate review -w {root}   (or --html, then curate decide; then apply, retrain, report)")


@main.command()
@embed_options
@with_workspace
def embed(embedding: EmbedOptions, root: Path) -> None:
    """Look at every file once: hash, measure, embed. `ingest` does this too.

    \b
    curate embed --model resnet18 -w ws
    """
    from curate.verbs.embed import embed as run

    scan = run(open_workspace(root), options=embedding, progress=progress_bar())
    say(as_table([{"status": s, "images": int(n)} for s, n in scan["status"].value_counts().items()]))


@main.command()
@split_options
@find_options
@own_options
@click.option(
    "--forget",
    type=click.Choice(["embeddings", "pred-probs"]),
    multiple=True,
    help="Use curate's own again in place of those that you gave; may repeat.",
)
@with_workspace
@with_json
def find(
    splitting: SplitOptions | None,
    finding: FindOptions,
    own: Any,
    forget: tuple[str, ...],
    root: Path,
    as_json: bool,
) -> None:
    """Run every finder over the last scan. `ingest` does this too.

    \b
    curate find -w ws                        # after curate embed with another model
    curate find -w ws --finetune             # networks are trained to judge the labels; slow on a CPU
    curate find -w ws --predictions trainer  # after curate retrain --preset full: what its networks say
    curate find -w ws --embeddings mine.npy --ids ids.txt
    """
    from curate.verbs.find import find as run

    kinds = [kind.replace("-", "_") for kind in forget]
    summary = run(
        open_workspace(root), options=finding, splitting=splitting, own=own, forget=kinds, progress=progress_bar()
    )
    if as_json:
        print_json(summary.to_dict())
    else:
        say(summary.to_text())


@main.command()
@with_workspace
@with_json
def status(root: Path, as_json: bool) -> None:
    """Which stages are done, stale or never run.

    \b
    curate status -w ws
    """
    from curate.verbs.status import status as run

    rows = run(open_workspace(root))
    if as_json:
        print_json(rows)
    else:
        say(as_table(rows))


@main.command()
@click.option("--issue", help="Only this issue; default: a count of each, and with --out a row per sample.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--all", "everything", is_flag=True, help="Every scored sample, not only the flagged.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all rows as CSV or Parquet.")
@with_workspace
@with_json
def issues(issue: str | None, limit: int, everything: bool, out: Path | None, root: Path, as_json: bool) -> None:
    """List what was found, or export it.

    Without --issue it counts what is flagged; --out then writes a row per sample with every issue's flag and score.

    \b
    curate issues -w ws
    curate issues --issue label --limit 50 -w ws
    curate issues --issue leak --out leaks.csv -w ws
    curate issues --out issues.parquet -w ws
    """
    from curate.verbs.issues import count_issues, export, list_issue, sample_issues

    workspace = open_workspace(root)
    if out:
        rows = list_issue(workspace, issue, everything=everything) if issue else sample_issues(workspace)
        export(rows, out)
        say(f"{len(rows):,} rows written to {out}")
        return
    rows = list_issue(workspace, issue, everything=everything) if issue else count_issues(workspace)
    if as_json:
        print_json(rows.to_dict("records"))
    else:
        say(as_table(rows.head(limit).to_dict("records")))
        if len(rows) > limit:
            say(f"… and {len(rows) - limit:,} more (--limit, --out)")


@main.command()
@click.option("--max", "limits", multiple=True, metavar="ISSUE=N|N%", help="The most that is allowed; may repeat.")
@with_workspace
@with_json
def check(limits: tuple[str, ...], root: Path, as_json: bool) -> None:
    """A gate for CI: exit code 2 when more is flagged than allowed.

    \b
    curate check --max leak=0 --max label=2% --max unreadable=0 -w ws
    """
    from curate.verbs.issues import check as run

    rows = run(open_workspace(root), limits)
    if as_json:
        print_json(rows)
    else:
        say(as_table(rows))
    if not all(row["ok"] for row in rows):
        sys.exit(2)
