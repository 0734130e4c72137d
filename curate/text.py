"""Names and labels as text: one function for each place where some characters mean more than themselves."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# What a terminal obeys or hides: controls (Cc), formats such as direction marks (Cf), lone surrogates (Cs).
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"  # of scripts and emoji: they change how their neighbours look, and nothing else
_FORMULA = ("=", "+", "-", "@")  # a cell that begins so is run by a spreadsheet
GUARD = "'"  # a spreadsheet's own sign for a cell that is text
_HEADER = re.compile(r'(?:[^"\r\n]+|"[^"]*")*')  # of a CSV: quoted names may hold line breaks
_QUOTED = re.compile(r'"[^"]*"')
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:$^=@/\"'])")


def for_terminal(text: object, *, keep: str = "\n") -> str:
    """The text with every character that a terminal would obey, or not show, as its escape: `\\x1b`, `\\u202e`.

    Parameters
    ----------
    keep : controls that stay as they are

    Examples
    --------
    >>> for_terminal("cat\\x1b[2J")
    'cat\\\\x1b[2J'
    """
    return "".join(_escaped(c) if _is_unseen(c) and c not in keep else c for c in str(text))


def one_line(text: object) -> str:
    """The same on one line: a name can't pass for a line of its own."""
    return for_terminal(text, keep="")


def _is_unseen(character: str) -> bool:
    if character.isprintable():
        return False
    return unicodedata.category(character) in _UNSEEN and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def is_utf8(text: str) -> bool:
    """False where the text holds half of a character: so Python spells names of files that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def for_table(text: str) -> str:
    """The text as a table can hold it: halves of characters as their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def for_markdown(text: object) -> str:
    """The text so that Markdown shows it as it is: no picture, no link, no emphasis, on one line.

    Examples
    --------
    >>> for_markdown("![t](http://x)")
    '\\\\!\\\\[t\\\\]\\\\(http\\\\:\\\\/\\\\/x\\\\)'
    """
    return _MARKDOWN.sub(r"\\\1", one_line(text))


# ---- CSV -------------------------------------------------------------------------------------


def for_csv(text: str) -> str:
    """The text as a cell that no spreadsheet runs and no reader trims. `from_csv` undoes it.

    Examples
    --------
    >>> for_csv("=1+1"), for_csv("cat")
    ("'=1+1", 'cat')
    """
    return GUARD + text if _needs_guard(text) else text


def from_csv(cell: str, *, strip: bool = False) -> str:
    """The text of a cell: one that `for_csv` guarded is exactly what it was.

    Parameters
    ----------
    strip : take the spaces around a cell without a guard off: nobody meant them

    Examples
    --------
    >>> from_csv("'=1+1"), from_csv("'t Hart"), from_csv(" cat ", strip=True)
    ('=1+1', "'t Hart", 'cat')
    """
    if cell.startswith(GUARD) and _needs_guard(cell[1:]):
        return cell[1:]
    return cell.strip() if strip else cell


def _needs_guard(text: str) -> bool:
    return text.startswith((*_FORMULA, GUARD)) or text != text.strip()


def csv_text(table: pd.DataFrame) -> str:
    """A table as a CSV whose names and texts are guarded by `for_csv`; an empty cell is a null.

    Lines end in CR LF: with LF alone Python's writer leaves a CR in a cell without quotes, which ends the row.
    """
    numbers = set(table.select_dtypes("number").columns)
    cells = {for_csv(str(name)): table[name] if name in numbers else _guarded(table[name]) for name in table.columns}
    rows = type(table)(cells, index=table.index).to_csv(index=False, header=False, lineterminator="\r\n")
    return _header(list(cells)) + rows if cells else ""


def _header(names: list[str]) -> str:
    """A header that `csv_separator` can read: the other separators stand in quotes, too."""
    line, is_odd = io.StringIO(newline=""), any(sign in name for name in names for sign in ";\t")
    csv.writer(line, quoting=csv.QUOTE_ALL if is_odd else csv.QUOTE_MINIMAL).writerow(names)
    return line.getvalue()


def _guarded(column: pd.Series) -> pd.Series:
    cells = [for_csv(cell) if isinstance(cell, str) else cell for cell in column]
    return type(column)(cells, index=column.index, dtype="object")  # Arrow's text takes no half character


def csv_separator(text: str) -> str:
    """The one of comma, semicolon and tab that is most frequent in the header of a CSV, quoted names aside."""
    header = _HEADER.match(text.lstrip("\r\n"))
    return max(",;\t", key=_QUOTED.sub("", header[0] if header else "").count)
