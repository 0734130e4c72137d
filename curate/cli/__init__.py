"""The command line: a command is a thin face of a verb; errors become a message and an exit code in `group`."""

from curate.cli import data, review, train
from curate.cli.group import main

__all__ = ["data", "main", "review", "train"]
