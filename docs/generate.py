"""Write docs/commands.md and docs/tables.md from the code, so that they can't drift. Run: make docs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click

from curate.cli import main
from curate.schema import TABLES

HERE = Path(__file__).parent
MADE = "<!-- made by docs/generate.py: change the code, then run `make docs` -->\n"


def commands() -> str:
    """The help of every command, as the terminal shows it."""
    parts = ["# Commands\n", MADE, _help(main, "curate")]
    for name, command in main.commands.items():
        parts += [f"## {name}\n", _help(command, f"curate {name}")]
    return "\n".join(parts)


def tables() -> str:
    """Every table of the schema: its file, its columns, what they mean."""
    parts = ["# Tables\n", MADE, "Scores are in [0, 1], lower is worse.\n"]
    for table in TABLES.values():
        where = f"`{table.file}`" if table.file else "made on request, not kept"
        parts += [f"## {table.name}\n", f"{table.meaning} {where}; key: {', '.join(table.key)}.\n"]
        parts += ["| column | kind | meaning |", "|---|---|---|"]
        parts += [
            f"| `{c.name}` | {c.kind}{', may be null' if c.nullable else ''} | {c.meaning} |" for c in table.columns
        ]
        parts.append("")
    return "\n".join(parts)


def constants() -> str:
    """Every number at the top of a module: its name, its value, where it is, and the sentence that says why."""
    parts = [
        "# Constants\n",
        MADE,
        "Numbers that the code holds, by module, with their source or how they were chosen.\n",
    ]
    for file in sorted((HERE.parent / "curate").rglob("*.py")):
        if rows := constants_of(file):
            parts += [f"## {file.relative_to(HERE.parent)}\n", "| name | value | why |", "|---|---|---|"]
            parts += [f"| `{name}` | `{value}` | {why.replace('|', '&#124;')} |" for name, value, why in rows]
            parts.append("")
    return "\n".join(parts)


def constants_of(file: Path) -> list[tuple[str, str, str]]:
    """Name, value and comment of each number, or tuple of numbers, that a module assigns to a name in capitals."""
    lines, found = file.read_text().splitlines(), []
    for node in ast.parse("\n".join(lines)).body:
        if not isinstance(node, ast.Assign) or not ast.unparse(node.targets[0]).strip("_()").isupper():
            continue
        value, line, above = ast.unparse(node.value), lines[node.end_lineno - 1], lines[node.lineno - 2]
        if re.fullmatch(r"[-\d.e+<*/ ()_,]+", value):
            why = line.partition("#")[2] or (above[1:] if above.startswith("#") else "")
            found.append((ast.unparse(node.targets[0]).strip("()"), value, why.strip()))
    return found


def _help(command: click.Command, name: str) -> str:
    settings = {**main.context_settings, "max_content_width": 100, "terminal_width": 100}
    with click.Context(command, info_name=name, **settings) as context:
        return f"```\n{command.get_help(context)}\n```\n"


PAGES = {"commands.md": commands, "tables.md": tables, "constants.md": constants}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (HERE / page).write_text(make())
