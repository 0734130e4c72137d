"""The commands: open the workspace, call one verb, print its summary.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done; 1 it could not be done, and the
message says why; 2 wrong usage, or `curate check` found more than allowed; 130 interrupted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from curate.cli.output import PlainFormatter, disk_trouble, fail
from curate.errors import CurateError
from curate.text import for_terminal
from curate.version import __version__


class Commands(click.Group):
    """Lists commands in the order of the work, and turns errors into a message and an exit code."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _plain_complaints():
            return super().make_context(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        if logging.lastResort:  # what prints where nobody has set logging up
            logging.lastResort.setFormatter(PlainFormatter())
        try:
            with _plain_complaints():
                return super().invoke(context)
        except CurateError as error:
            fail(str(error), error.exit_code)
        except BrokenPipeError:
            raise  # `curate issues | head`: click ends quietly
        except OSError as error:
            fail(disk_trouble(error), 1)
        except KeyboardInterrupt:
            fail("interrupted; run the same command again to go on", 130)


@contextmanager
def _plain_complaints() -> Iterator[None]:
    """click repeats what was typed, or what a script took from a file's name."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = for_terminal(error.message)  # click calls it final
        raise


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
