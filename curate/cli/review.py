"""Commands by which people decide, and what becomes of it: review, decide, undo, apply, diff."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from curate.cli.group import main
from curate.cli.options import policy_options, with_json, with_workspace
from curate.cli.output import as_table, open_workspace, print_json, say
from curate.config import PolicyOptions


@main.command()
@click.option("--html", "form", flag_value="html", help="Without the App: a page of thumbnails with evidence.")
@click.option("--csv", "form", flag_value="csv", help="Without the App: the queue as CSV, with columns for verdicts.")
@click.option("--issue", help="Only this issue; in the App the view to begin with.")
@click.option(
    "--limit", type=click.IntRange(1), default=300, show_default=True, help="Page and CSV: how many, worst first."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Page and CSV; default: reports/review.html or .csv in the workspace.",
)
@click.option("--reviewer", envvar="CURATE_REVIEWER", default="", help="Your name; default: the login name.")
@click.option("--double", is_flag=True, help="App: ask again what others decided, to measure how far you agree.")
@click.option("--print-url", is_flag=True, help="App: print the address, open no browser (for a tunnel).")
@click.option("--address", default="127.0.0.1", show_default=True, help="App: where to listen.")
@click.option("--port", type=click.IntRange(1, 65535), help="App: default: any free port.")
@click.option("--i-know", "exposed", is_flag=True, help="App: allow an --address that other machines can reach.")
@with_workspace
def review(
    form: str | None,
    issue: str | None,
    limit: int,
    out: Path | None,
    reviewer: str,
    double: bool,
    print_url: bool,
    address: str,
    port: int | None,
    exposed: bool,
    root: Path,
) -> None:
    """Review the worst first: in the FiftyOne App, or on a page or CSV without it.

    In the App every verdict is in the ledger the moment it is made. It needs the extra `review`
    (pip install 'curate[review]') and a mongod; the page and the CSV need neither.

    \b
    curate review -w ws                  # opens the App; Ctrl-C ends it
    curate review --issue label -w ws    # beginning with the label issues
    curate review --html -w ws           # a page: click verdicts, download decisions.csv, then
    curate decide decisions.csv -w ws    # record them
    """
    workspace = open_workspace(root)
    if form is not None:
        from curate.verbs.review import review as write

        say(write(workspace, form=form, issue=issue, limit=limit, out=out).to_text())
        return
    import getpass

    from curate.verbs.app import review_app

    review_app(
        workspace,
        reviewer=reviewer or getpass.getuser(),
        issue=issue,
        double=double,
        address=address,
        port=port,
        exposed=exposed,
        browser=not print_url,
        echo=say,
    )


@main.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--issue", help="Bulk: the issue whose flags are decided.")
@click.option("--above", type=click.FloatRange(0, 1), help="Bulk: the smallest P(the flag is right).")
@click.option("--action", type=click.Choice(["keep", "relabel", "drop", "unsure"]), help="Bulk: the verdict.")
@click.option("--reviewer", envvar="CURATE_REVIEWER", default="", help="Your name; default: the login name.")
@click.option("--reason", default="", help="Kept with the decision.")
@click.option("--allow-new-classes", is_flag=True, help="Accept labels that no sample has yet.")
@with_workspace
def decide(
    file: Path | None,
    issue: str | None,
    above: float | None,
    action: str | None,
    reviewer: str,
    reason: str,
    allow_new_classes: bool,
    root: Path,
) -> None:
    """Record verdicts, from a CSV or in bulk by threshold. Durable when the command returns.

    \b
    curate decide decisions.csv -w ws
    curate decide --issue label --above 0.95 --action relabel -w ws
    """
    from curate.verbs.decide import decide_by_threshold, decide_from_file

    by_rule = bool(issue and action and above is not None)
    if bool(file) == by_rule or (file and (issue or action or above is not None)):
        raise click.UsageError("give a FILE, or --issue with --above and --action")
    workspace = open_workspace(root)
    if file:
        summary = decide_from_file(workspace, file, reviewer=reviewer, reason=reason, new_classes=allow_new_classes)
    else:
        assert issue and action and above is not None
        summary = decide_by_threshold(workspace, issue, above, action, reviewer=reviewer, reason=reason)
    say(summary.to_text())
    if len(summary.problems) and not summary.recorded:
        sys.exit(1)


@main.command()
@click.option("--last", type=click.IntRange(1), help="Take back the last N entries (verdict, file or bulk rule).")
@click.option("--id", "ids", type=int, multiple=True, help="Take back the decision of this number; may repeat.")
@click.option("--reviewer", envvar="CURATE_REVIEWER", default="")
@with_workspace
def undo(last: int | None, ids: tuple[int, ...], reviewer: str, root: Path) -> None:
    """Take decisions back; nothing is erased, the undo is a new row.

    \b
    curate undo --last 1 -w ws
    curate undo --id 17 --id 18 -w ws
    """
    from curate.verbs.decide import undo as run

    if bool(last) == bool(ids):
        raise click.UsageError("give --last N or --id NUMBER")
    undone = run(open_workspace(root), ids=list(ids), last=last, reviewer=reviewer)
    say(f"{len(undone):,} decision(s) taken back")


@main.command()
@policy_options
@click.option("--dry-run", is_flag=True, help="Say what would change; write nothing.")
@click.option("--export", "out", type=click.Path(path_type=Path), help="Also write the version as a folder tree.")
@click.option("--how", type=click.Choice(["hardlink", "symlink", "copy"]), default="symlink", show_default=True)
@click.option("--csv", "csv_out", type=click.Path(path_type=Path), help="Also write the version as a CSV manifest.")
@with_workspace
@with_json
def apply(
    policy: PolicyOptions,
    dry_run: bool,
    out: Path | None,
    how: str,
    csv_out: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """Turn decisions into a new version of the dataset: manifest, rejects with reasons, diff.

    \b
    curate apply --dry-run -w ws
    curate apply -w ws
    curate apply --export cleaned/ --how hardlink -w ws
    """
    from curate.verbs.apply import apply as run

    summary = run(open_workspace(root), options=policy, dry_run=dry_run, export_to=out, how=how, csv=csv_out)
    if as_json:
        print_json(summary.to_dict())
    else:
        say(summary.to_text())


@main.command()
@click.argument("before", type=int, required=False)
@click.argument("after", type=int, required=False)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@with_workspace
@with_json
def diff(before: int | None, after: int | None, limit: int, root: Path, as_json: bool) -> None:
    """What changed between two versions (0 = as ingested); default: the last and its parent.

    \b
    curate diff -w ws
    curate diff 0 2 -w ws
    """
    from curate.verbs.apply import diff as run

    changes = run(open_workspace(root), before, after)
    if as_json:
        print_json(changes.to_dict("records"))
        return
    counts = changes["change"].value_counts()
    say(as_table([{"change": c, "samples": int(n)} for c, n in counts.items()]))
    say(as_table(changes.head(limit).to_dict("records")))
