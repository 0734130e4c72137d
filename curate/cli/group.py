"""The commands: open the workspace, call one verb, print its summary.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done; 1 it could not be done, and the
message says why; 2 wrong usage, or `curate check` found more than allowed; 130 interrupted.
"""

from __future__ import annotations

import errno
import functools
import inspect
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from curate import __version__
from curate.config import (
    AnnotationOptions,
    EmbedOptions,
    FindOptions,
    PolicyOptions,
    SplitOptions,
    TrainOptions,
)
from curate.errors import CurateError

DEFAULT_WORKSPACE = "curate-workspace"


class Commands(click.Group):
    """Lists commands in the order of the work, and turns errors into a message and an exit code."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except CurateError as error:
            _fail(str(error), error.exit_code)
        except BrokenPipeError:
            raise  # `curate issues | head`: click ends quietly
        except OSError as error:
            _fail(_disk_trouble(error), 1)
        except KeyboardInterrupt:
            _fail("interrupted; run the same command again to go on", 130)


def _fail(message: str, code: int) -> None:
    first, *rest = message.splitlines()
    click.secho(f"Error: {first}", fg="red", err=True)
    for line in rest:
        click.echo(f"  {line}", err=True)
    sys.exit(code)


def _disk_trouble(error: OSError) -> str:
    what = f"{error.strerror}: {error.filename}" if error.filename else str(error)
    if error.errno is None and "requested and" in what:  # NumPy's word for a file that it could not write whole
        what, error.errno = f"No space left: {what}", errno.ENOSPC
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{what}\nto do: free some space and run the same command again; what was finished is kept"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{what}\nto do: use a folder that you may read and write"
    return what


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="curate")
def main() -> None:
    """Make a labelled image dataset trustworthy, and prove it.

    \b
    curate ingest photos/            look at every image once, find what is wrong
    curate review                    look at the worst first, decide with keys
    curate apply                     make a cleaned version
    curate retrain                   train before, after and a control; compare
    curate report                    one page with everything

    Your images are never modified, moved or deleted.
    """


# ---- options that commands share -----------------------------------------------------------------

Command = Callable[..., None]


def with_workspace(command: Command) -> Command:
    return click.option(
        "-w",
        "--workspace",
        "root",
        type=click.Path(path_type=Path),
        envvar="CURATE_WORKSPACE",
        default=DEFAULT_WORKSPACE,
        show_default=True,
        help="Folder of all tables; also from CURATE_WORKSPACE.",
    )(command)


def with_json(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)


def with_options(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def gathered(
    into: str, kind: Callable[..., Any], *options: Callable[[Command], Command]
) -> Callable[[Command], Command]:
    """Hand the values of `options` to the command as one argument `into`, made by `kind`."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_gathered(**values: Any) -> None:
            names = [name for name in inspect.signature(kind).parameters if name in values]
            command(**{into: kind(**{name: values.pop(name) for name in names})}, **values)

        return with_options(*options)(with_gathered)

    return decorate


embed_options = gathered(
    "embedding",
    EmbedOptions,
    click.option("--model", default=EmbedOptions.model, show_default=True, help="Any timm model."),
    click.option("--image-size", type=click.IntRange(32, 1024), help="Pixels; default: by the size of the images."),
    click.option("--batch-size", type=click.IntRange(1), default=EmbedOptions.batch_size, show_default=True),
    click.option("--device", default=EmbedOptions.device, show_default=True, help="auto, cpu, cuda, cuda:1 …"),
    click.option(
        "--backend",
        type=click.Choice(["auto", "torch", "openvino"]),
        default=EmbedOptions.backend,
        show_default=True,
        help="What runs the network; auto: OpenVINO on a CPU, where it is installed, else torch.",
    ),
    click.option(
        "--workers", type=click.IntRange(0), default=0, help="Files to look at in parallel; default: one per core."
    ),
)


def _splitting(fractions: tuple[float, float, float] | None, split_seed: int | None) -> SplitOptions | None:
    if fractions is None and split_seed is None:
        return None
    options = SplitOptions(*fractions) if fractions else SplitOptions()
    return options if split_seed is None else replace(options, seed=split_seed)


split_options = gathered(
    "splitting",
    _splitting,
    click.option(
        "--split",
        "fractions",
        type=(float, float, float),
        help="Shares of train, val and test where the source gives no split; default: as before, at first "
        f"{SplitOptions.train:g} {SplitOptions.val:g} {SplitOptions.test:g}. Others divide all samples anew.",
    ),
    click.option("--split-seed", type=int, help=f"Default: as before, at first {SplitOptions.seed}."),
)


def _one_of(predictions: str, finetune: bool) -> str:
    if finetune and predictions != FindOptions.predictions:
        raise click.UsageError(f"--finetune and --predictions {predictions}: give one of them")
    return "finetune" if finetune else predictions


find_options = gathered(
    "finding",
    lambda predictions, finetune, finetune_epochs, seed: FindOptions(
        predictions=_one_of(predictions, finetune), finetune_epochs=finetune_epochs, seed=seed
    ),
    click.option(
        "--predictions",
        type=click.Choice(["probe", "trainer"]),
        default=FindOptions.predictions,
        show_default=True,
        help="Whose out-of-sample predictions judge the labels; trainer: those of the last curate retrain.",
    ),
    click.option("--finetune", is_flag=True, help="Train networks to judge the labels in its place; slow on a CPU."),
    click.option("--finetune-epochs", type=click.IntRange(1), default=FindOptions.finetune_epochs, show_default=True),
    click.option("--seed", type=int, default=FindOptions.seed, show_default=True, help="Of the probe."),
)
policy_options = gathered(
    "policy",
    PolicyOptions,
    click.option("--relabel-above", type=click.FloatRange(0, 1), help="Also relabel undecided above this P(wrong)."),
    click.option("--drop-duplicates", is_flag=True, help="Also drop undecided exact duplicates, but one of a group."),
    click.option("--include-test", is_flag=True, help="Allow changes to the test split."),
    click.option(
        "--class-cap",
        type=click.FloatRange(0, 1),
        default=PolicyOptions.class_cap,
        show_default=True,
        help="Largest share of a class that may be dropped.",
    ),
)
train_options = gathered(
    "training",
    TrainOptions,
    click.option("--preset", type=click.Choice(["auto", "quick", "full"]), default="auto", show_default=True),
    click.option("--model", default=TrainOptions.model, show_default=True, help="Any timm model."),
    click.option("--image-size", type=click.IntRange(32, 1024), help="Pixels; default: by the size of the images."),
    click.option("--epochs", type=click.IntRange(1), help="Default: as the preset says."),
    click.option("--batch-size", type=click.IntRange(1)),
    click.option("--learning-rate", type=click.FloatRange(0, min_open=True)),
    click.option(
        "--patience",
        type=click.IntRange(1),
        help="Stop an arm after so many epochs without a better validation accuracy. Default: none stops.",
    ),
    click.option("--folds", type=click.IntRange(0, 50), help="Of the out-of-fold predictions; 0: none."),
    click.option("--seed", type=int, default=TrainOptions.seed, show_default=True),
    click.option(
        "--seeds", type=click.IntRange(1), default=TrainOptions.seeds, show_default=True, help="Runs per arm."
    ),
    click.option("--device", default=TrainOptions.device, show_default=True, help="auto, cpu, cuda, cuda:1 …"),
    click.option("--tensorboard", is_flag=True, help="Also write TensorBoard events."),
)


def _open(root: Path, *, create: bool = False) -> Any:
    from curate.workspace import Workspace

    return Workspace.create(root) if create else Workspace(root)


def _progress() -> Any:
    from curate.progress import bar

    return bar


def _print_json(value: Any) -> None:
    click.echo(json.dumps(_plain(value), indent=1, default=str, allow_nan=False))


def _plain(value: Any) -> Any:
    """The same with None for what JSON has no word for: missing cells, NaN, infinities."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if type(value).__name__ in ("NAType", "NaTType") else value  # pandas' own: not worth its import


def _table(rows: list[dict[str, Any]]) -> str:
    """Rows as aligned text: numbers to the right, the columns of the first row."""
    if not rows:
        return "(none)"
    cells = [[_cell(row.get(name)) for name in rows[0]] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(rows[0])]
    right = [isinstance(value, int | float) for value in rows[0].values()]
    lines = [list(rows[0]), ["─" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)).rstrip()
        for line in lines
    )


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


# ---- ingest, embed, find -------------------------------------------------------------------------


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
        _open(root, create=True),
        source,
        annotations=annotations,
        image_root=image_root,
        annotating=AnnotationOptions(conflict_limit=conflict_limit),
        embedding=embedding,
        splitting=splitting,
        finding=finding,
        progress=_progress(),
    )
    if as_json:
        _print_json(summary.to_dict())
        return
    click.echo(summary.to_text())
    click.echo(f"\nNext: curate review -w {root}   (or --html, then curate decide; then apply, retrain, report)")


@main.command()
@embed_options
@with_workspace
def embed(embedding: EmbedOptions, root: Path) -> None:
    """Look at every file once: hash, measure, embed. `ingest` does this too.

    \b
    curate embed --model resnet18 -w ws
    """
    from curate.verbs.embed import embed as run

    scan = run(_open(root), options=embedding, progress=_progress())
    click.echo(_table([{"status": s, "images": int(n)} for s, n in scan["status"].value_counts().items()]))


@main.command()
@split_options
@find_options
@with_workspace
@with_json
def find(splitting: SplitOptions | None, finding: FindOptions, root: Path, as_json: bool) -> None:
    """Run every finder over the last scan. `ingest` does this too.

    \b
    curate find -w ws                        # after curate embed with another model
    curate find -w ws --finetune             # networks are trained to judge the labels; slow on a CPU
    curate find -w ws --predictions trainer  # after curate retrain --preset full: what its networks say
    """
    from curate.verbs.find import find as run

    summary = run(_open(root), options=finding, splitting=splitting, progress=_progress())
    if as_json:
        _print_json(summary.to_dict())
    else:
        click.echo(summary.to_text())


# ---- looking ---------------------------------------------------------------------------------------


@main.command()
@with_workspace
@with_json
def status(root: Path, as_json: bool) -> None:
    """Which stages are done, stale or never run.

    \b
    curate status -w ws
    """
    from curate.verbs.status import status as run

    rows = run(_open(root))
    if as_json:
        _print_json(rows)
    else:
        click.echo(_table(rows))


@main.command()
@click.option("--issue", help="Only this issue; default: a count of each.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--all", "everything", is_flag=True, help="Every scored sample, not only the flagged.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the whole list as CSV or Parquet.")
@with_workspace
@with_json
def issues(issue: str | None, limit: int, everything: bool, out: Path | None, root: Path, as_json: bool) -> None:
    """List what was found, or export it.

    \b
    curate issues -w ws
    curate issues --issue label --limit 50 -w ws
    curate issues --issue leak --out leaks.csv -w ws
    """
    from curate.verbs.issues import count_issues, list_issue

    workspace = _open(root)
    rows = list_issue(workspace, issue, everything=everything) if issue else count_issues(workspace)
    if out:
        from curate.verbs.issues import export

        export(rows, out)
        click.echo(f"{len(rows):,} rows written to {out}")
    elif as_json:
        _print_json(rows.to_dict("records"))
    else:
        click.echo(_table(rows.head(limit).to_dict("records")))
        if len(rows) > limit:
            click.echo(f"… and {len(rows) - limit:,} more (--limit, --out)")


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
    workspace = _open(root)
    if form is not None:
        from curate.verbs.review import review as write

        click.echo(write(workspace, form=form, issue=issue, limit=limit, out=out).to_text())
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
        echo=click.echo,
    )


# ---- deciding --------------------------------------------------------------------------------------


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
    workspace = _open(root)
    if file:
        summary = decide_from_file(workspace, file, reviewer=reviewer, reason=reason, new_classes=allow_new_classes)
    else:
        assert issue and action and above is not None
        summary = decide_by_threshold(workspace, issue, above, action, reviewer=reviewer, reason=reason)
    click.echo(summary.to_text())
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
    undone = run(_open(root), ids=list(ids), last=last, reviewer=reviewer)
    click.echo(f"{len(undone):,} decision(s) taken back")


# ---- a new version, a new model -------------------------------------------------------------------


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

    summary = run(_open(root), options=policy, dry_run=dry_run, export_to=out, how=how, csv=csv_out)
    if as_json:
        _print_json(summary.to_dict())
    else:
        click.echo(summary.to_text())


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

    changes = run(_open(root), before, after)
    if as_json:
        _print_json(changes.to_dict("records"))
        return
    counts = changes["change"].value_counts()
    click.echo(_table([{"change": c, "samples": int(n)} for c, n in counts.items()]))
    click.echo(_table(changes.head(limit).to_dict("records")))


@main.command()
@click.option("--before", type=int, default=0, show_default=True, help="Version to compare with; 0 = as ingested.")
@click.option("--after", type=int, help="Version to prove; default: the last.")
@train_options
@with_workspace
@with_json
def retrain(
    before: int,
    after: int | None,
    training: TrainOptions,
    root: Path,
    as_json: bool,
) -> None:
    """Train on the version before, after and a random control; compare on the same test split.

    `quick` trains a head on frozen features (minutes on a CPU), `full` every layer; `auto` is `full`
    where there is a GPU. A killed run goes on where it was.

    \b
    curate retrain -w ws
    curate retrain --preset full --epochs 30 -w ws
    """
    from curate.verbs.retrain import retrain as run

    summary = run(_open(root), before=before, after=after, options=training, progress=_progress())
    if as_json:
        _print_json(summary.to_dict())
    else:
        click.echo(summary.to_text())


@main.command()
@click.option("--out", type=click.Path(path_type=Path), help="Default: reports/report.html in the workspace.")
@with_workspace
def report(out: Path | None, root: Path) -> None:
    """Write one self-contained HTML page with everything that is known.

    \b
    curate report -w ws
    """
    from curate.verbs.report import report as run

    click.echo(f"Report: {run(_open(root), out=out)}")


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

    rows = run(_open(root), limits)
    if as_json:
        _print_json(rows)
    else:
        click.echo(_table(rows))
    if not all(row["ok"] for row in rows):
        sys.exit(2)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("curate-demo"))
@click.option("--seed", type=int, default=0, show_default=True)
def demo(folder: Path, seed: int) -> None:
    """The whole loop on handwritten digits with planted defects of known number.

    \b
    curate demo
    curate demo /tmp/demo --seed 1
    """
    from curate.verbs.demo import demo as run

    run(folder, seed=seed, progress=_progress(), echo=click.echo)
