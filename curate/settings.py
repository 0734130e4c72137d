"""`key=value` as people type it → a field of an options dataclass."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar, get_args, get_type_hints

from curate.errors import WrongUsage

Options = TypeVar("Options")


def with_settings(options: Options, settings: Iterable[str]) -> Options:
    """The same options with these fields set.

    Parameters
    ----------
    options : a frozen dataclass, such as `curate.config.TrainOptions`
    settings : each `name=value`; numbers as JSON writes them, true, false, none, or text

    Raises
    ------
    WrongUsage : there is no such field, or it takes no such value

    Examples
    --------
    >>> from curate.config import TrainOptions
    >>> with_settings(TrainOptions(), ["warmup=0.2", "amp=false"]).warmup
    0.2
    """
    kinds = get_type_hints(type(options))
    values = {}
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise WrongUsage(f"the setting '{setting}' has no value", "name=value")
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1, cutoff=0.5)
            raise WrongUsage(f"there is no setting '{name}'", f"one of {', '.join(kinds)}", *_did_you_mean(near))
        values[name] = _value(name, text, get_args(kinds[name]) or (kinds[name],))
    return replace(options, **values)  # type: ignore[type-var]


def _did_you_mean(near: list[str]) -> list[str]:
    return [f"{near[0]}=…, if that is what you mean"] if near else []


def _value(name: str, text: str, kinds: tuple[Any, ...]) -> Any:
    """The text as one of these types; a whole number is also a float."""
    if str in kinds:
        return text
    try:
        value = None if text.lower() == "none" else json.loads(text.lower())
    except ValueError:
        value = text
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        raise WrongUsage(f"{name} is '{text}'", " or ".join(_in_words(kind) for kind in kinds))
    return value


def _in_words(kind: type) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", type(None): "none"}
    return words[kind]
