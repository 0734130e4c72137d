"""What commands print: tables, JSON, progress, and errors with an exit code.

Names of files, classes and people are whatever somebody gave them. All that commands print goes through `say` or
`fail`, all that libraries log through `PlainFormatter`: none of it can act on the terminal.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import click

from curate.text import for_terminal, one_line


class PlainFormatter(logging.Formatter):
    """Log records as text that no terminal obeys."""

    def format(self, record: logging.LogRecord) -> str:
        return for_terminal(super().format(record))


def say(text: str, *, err: bool = False) -> None:
    """Print text that no terminal obeys; what the stream's encoding lacks is shown as its escape."""
    click.echo(_printable(for_terminal(text), err), err=err)


def fail(message: str, code: int) -> None:
    """Print an error, its first line in red, and end the process."""
    first, *rest = for_terminal(message).split("\n")
    click.secho(_printable(f"Error: {first}", True), fg="red", err=True)
    for line in rest:
        say(f"  {line}", err=True)
    sys.exit(code)


def _printable(text: str, err: bool) -> str:
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def disk_trouble(error: OSError) -> str:
    what = f"{error.strerror}: {error.filename}" if error.filename else str(error)
    if error.errno is None and "requested and" in what:  # NumPy's word for a file that it could not write whole
        what, error.errno = f"No space left: {what}", errno.ENOSPC
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{what}\nto do: free some space and run the same command again; what was finished is kept"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{what}\nto do: use a folder that you may read and write"
    return what


def open_workspace(root: Path, *, create: bool = False) -> Any:
    from curate.workspace import Workspace

    return Workspace.create(root) if create else Workspace(root)


def progress_bar() -> Any:
    from curate.progress import bar

    return bar


def print_json(value: Any) -> None:
    text = json.dumps(plain_values(value), indent=1, default=str, allow_nan=False)  # in ASCII, controls escaped but DEL
    click.echo(text.replace("\x7f", "\\u007f"))


def plain_values(value: Any) -> Any:
    """The same with None for what JSON has no word for: missing cells, NaN, infinities."""
    if isinstance(value, dict):
        return {key: plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if type(value).__name__ in ("NAType", "NaTType") else value  # pandas' own: not worth its import


def as_table(rows: list[dict[str, Any]]) -> str:
    """Rows as aligned text: numbers to the right, the columns of the first row."""
    if not rows:
        return "(none)"
    cells = [[cell(row.get(name)) for name in rows[0]] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(rows[0])]
    right = [isinstance(value, int | float) for value in rows[0].values()]
    lines = [list(rows[0]), ["─" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)).rstrip()
        for line in lines
    )


def cell(value: Any) -> str:
    if value is None or value != value:  # NaN
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else one_line(value)
