"""What may be asked of FiftyOne's server: routes and operators that a review needs; of classes, view stages alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

MOST_BYTES = 32 << 20  # of a body; a selection of 300,000 samples takes 8 MiB
DEEPEST = 200  # levels of a body; a view has about ten

# FiftyOne's server answers 50 routes; the others read and write files, stream videos or load models. Beside these, GET
# of any other path is a file of the page itself.
ROUTES = re.compile(
    r"/(graphql|media|plugins(/.*)?|events?|fiftyone|features|sort|tag|tagging|values"
    r"|operators(/(execute(/generator)?|resolve-(type|placements|execution-options)))?"
    r"|embeddings/[a-z0-9/-]+"
    r"|dataset/[^/]+/(tags(/counts)?|sample/[^/]+(/tags(/[^/]+)?)?|sample/[^/]+/(?!commit-mask$)[\w.]+/[0-9a-f]{24}))/?"
)
SERVER_ROUTES = re.compile(  # all that FiftyOne answers itself
    r"/(graphql|media|plugins|events?|fiftyone|features|sort|tag|tagging|values|operators|embeddings|dataset|aggregate"
    r"|frames|geo|ontologies|screenshot|runtime-assets|get-similar-labels-frames|video-labels|groups?)(/|$)"
)
OURS = "@curate/review/"
# FiftyOne's own operators that the page calls: they list, load and save views, layouts and schemas of this dataset
OPERATORS = {
    f"@voxel51/operators/{name}"
    for name in (
        *("list_workspaces", "load_workspace", "save_workspace", "list_saved_views", "load_saved_view", "save_view"),
        *(
            "reload_saved_view",
            "load_group_by",
            "get_field_schema",
            "get_label_schemas",
            "list_valid_annotation_fields",
        ),
        *("activate_label_schemas", "deactivate_label_schemas", "set_active_label_schemas", "validate_label_schemas"),
        *("generate_label_schemas", "update_label_schema"),
    )
}
STAGES = "fiftyone.core.stages."
RAW_STAGE = f"{STAGES}Mongo"
LAYOUT = ("Space", "Panel")  # what a layout of the page is made of; names without a module, as labels' are
CODE = {"$where", "$function", "$accumulator", "$out", "$merge"}  # what makes MongoDB run a script, or write


def objection_to_route(method: str, path: str) -> str | None:
    """Why this is not asked of the server; None where it may be."""
    if ROUTES.fullmatch(path):
        return None
    if method in ("GET", "HEAD") and not SERVER_ROUTES.match(path):
        return None
    return "the review does not need this"


def objection_to_query(query: str) -> str | None:
    """Why a query string may not pass: a value that is JSON is looked at as a body is."""
    for _, value in parse_qsl(query, keep_blank_values=True):
        if value[:1] in "[{" and value and (reason := objection_to_body("", value.encode(), is_json=False)):
            return reason
    return None


def objection_to_body(path: str, body: bytes, *, is_json: bool = True) -> str | None:
    """Why this body may not pass: an operator that a review does not need, or a class that is no view stage.

    Parameters
    ----------
    is_json : whether what is no JSON is refused
    """
    if not body:
        return None
    try:
        value = json.loads(body)
        parts = list(_parts(value))
    except (ValueError, RecursionError):
        return "the body is no JSON" if is_json else None
    if any(isinstance(part, dict) and CODE & part.keys() for part in parts):
        return "a query that holds code is refused"
    labels_pass = path.startswith("/dataset/")  # edits of labels name FiftyOne's label classes, which have no module
    for part in parts:
        if isinstance(part, dict) and "_cls" in part and not _is_harmless(part["_cls"], labels_pass):
            return "only view stages are made of data"
        if isinstance(part, str) and re.search(r"\b_cls\b", part):
            return "a class in a text is refused"
    operator = value.get("operator_uri") if isinstance(value, dict) else None
    if path.startswith("/operators") and operator is not None and not _is_needed(operator):
        return "the review does not need this operator"
    return None


def _is_harmless(name: Any, labels_pass: bool) -> bool:
    if not isinstance(name, str):
        return False
    if name in LAYOUT or (labels_pass and name.isidentifier()):
        return True
    return name.startswith(STAGES) and name.removeprefix(STAGES).isidentifier() and name != RAW_STAGE


def _is_needed(operator: Any) -> bool:
    return isinstance(operator, str) and (operator.startswith(OURS) or operator in OPERATORS)


def _parts(value: Any, depth: int = 0) -> Iterator[Any]:
    """The value and all that is in it; texts that are JSON themselves are opened too."""
    if depth > DEEPEST:
        raise ValueError("too deep")
    yield value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            inside = [json.loads(value)]
        except (ValueError, RecursionError):
            inside = ()
    for item in inside:
        yield from _parts(item, depth + 1)
