"""Commands that prove the gain: retrain, report, demo."""

from __future__ import annotations

from pathlib import Path

import click

from curate.cli.group import main
from curate.cli.options import train_options, with_json, with_workspace
from curate.cli.output import open_workspace, print_json, progress_bar, say
from curate.config import TrainOptions


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

    summary = run(open_workspace(root), before=before, after=after, options=training, progress=progress_bar())
    if as_json:
        print_json(summary.to_dict())
    else:
        say(summary.to_text())


@main.command()
@click.option("--out", type=click.Path(path_type=Path), help="Default: reports/report.html in the workspace.")
@with_workspace
def report(out: Path | None, root: Path) -> None:
    """Write one self-contained HTML page with everything that is known.

    \b
    curate report -w ws
    """
    from curate.verbs.report import report as run

    say(f"Report: {run(open_workspace(root), out=out)}")


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

    run(folder, seed=seed, progress=progress_bar(), echo=say)
