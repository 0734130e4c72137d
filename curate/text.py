"""Names and labels as text: one function for each place where some characters mean more than themselves."""

from __future__ import annotations

import re
import unicodedata

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
