"""Names and labels as text: one function for each place where some characters mean more than themselves."""

from __future__ import annotations

import re
import unicodedata

from curate.errors import CurateError

# What a terminal obeys or hides: controls (Cc), formats such as direction marks (Cf), lone surrogates (Cs).
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"  # of scripts and emoji: they change how their neighbours look, and nothing else
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:$^=@/\"'])")


def for_terminal(text: object, *, keep: str = "\n\t") -> str:
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


def _is_unseen(character: str) -> bool:
    if character.isprintable():
        return False
    return unicodedata.category(character) in _UNSEEN and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def for_markdown(text: object) -> str:
    """The text so that Markdown shows it as it is: no picture, no link, no emphasis, on one line.

    Examples
    --------
    >>> for_markdown("![t](http://x)")
    '\\\\!\\\\[t\\\\]\\\\(http\\\\:\\\\/\\\\/x\\\\)'
    """
    return _MARKDOWN.sub(r"\\\1", for_terminal(text, keep=""))


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")  # what makes a spreadsheet run a cell; and the guard itself


def for_csv(cell: str) -> str:
    """A cell that no spreadsheet runs: an apostrophe before what would be a formula. `from_csv` takes it off.

    Source: OWASP, CSV Injection.

    Examples
    --------
    >>> for_csv("=1+1"), from_csv("'=1+1")
    ("'=1+1", '=1+1')
    """
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def from_csv(cell: str) -> str:
    """A cell as it was before `for_csv`."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def is_text(name: object) -> bool:
    """False for a name with bytes that are not UTF-8: Python spells them with half characters, no table holds them."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def require_text(path: object, error: type[CurateError]) -> None:
    """Raise `error` where a path holds bytes that are not UTF-8."""
    if not is_text(path):
        raise error(f"the name of {for_terminal(path)} is not UTF-8", "a path in UTF-8", "rename it, and try again")
