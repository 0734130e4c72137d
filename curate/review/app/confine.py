"""FiftyOne makes objects of whatever class a view names; here it makes view stages, and nothing else.

A view arrives in a request, or lies in the database, as `{"_cls": "module.Class", "kwargs": […]}`, and FiftyOne
imports that module and calls that class. The guard refuses such requests; this holds whatever road a view takes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

STAGES, AGGREGATIONS = "fiftyone.core.stages", "fiftyone.core.aggregations"
RAW = ("Mongo",)  # stages that hand the database a pipeline as it comes


def confine_fiftyone() -> None:
    """Let FiftyOne make of data only its own stages, aggregations and classes. A second call changes nothing."""
    import eta.core.utils as etau
    import fiftyone.core.aggregations as foa
    import fiftyone.core.stages as fos

    _confine(fos.ViewStage, STAGES)
    _confine(foa.Aggregation, AGGREGATIONS)
    if not hasattr(etau.get_class, "__wrapped__"):
        etau.get_class = _only_fiftyones(etau.get_class)


def _confine(base: Any, module: str) -> None:
    original = base.__dict__["_from_dict"].__func__
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def confined(cls: Any, d: dict[str, Any]) -> Any:
        if not _is_subclass(d.get("_cls"), base, module):
            raise ValueError(f"{d.get('_cls')!r} is no {base.__name__} that may be made of data")
        return original(cls, d)

    base._from_dict = classmethod(confined)


def _is_subclass(name: object, base: type, module: str) -> bool:
    place, _, own = str(name).rpartition(".")
    found = getattr(sys.modules[module], own, None) if place == module and own not in RAW else None
    return isinstance(found, type) and issubclass(found, base) and found is not base and found.__module__ == module


def _only_fiftyones(get_class: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(get_class)
    def confined(class_name: str, module_name: str | None = None) -> Any:
        place = module_name or str(class_name).rpartition(".")[0]
        if place.partition(".")[0] != "fiftyone":
            raise ImportError(f"{class_name!r} is no class of FiftyOne")
        return get_class(class_name, module_name)

    return confined
