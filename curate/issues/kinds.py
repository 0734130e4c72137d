"""One `Kind` per issue: all that the queue, the page, the report and the App say of it. A new issue is an entry here.

Another package brings the kinds of its own issues by an entry point in the group `curate.kinds` that names a `Kind`, or
several in a tuple. An issue without one is treated like an outlier that nobody has described.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.metadata import entry_points

from curate.errors import SchemaError

VIEWS = ("label", "leak", "duplicate", "outlier", "quality")  # the App's, and beside them:
OTHER_VIEW = "other"


@dataclass(frozen=True)
class Kind:
    """An issue, for people.

    Attributes
    ----------
    name : as in `is_<name>_issue`
    note : what a flag means, a sentence
    title : a few words over a picture of the review page; empty: the name
    sentence : why this sample is flagged, with {0}, {1} … for the columns `measured` and {sure} for the probability;
        empty: the name and the probability
    measured : columns of SAMPLES that the sentence tells
    impact : what one right flag is worth, relative to a picture that is both trained and tested on. The queue is
        ordered by probability times impact; of an issue of impact 0 nobody is asked about each sample
    view : the App's saved view that shows it, one of `VIEWS`
    keeps_one : its flags come in groups of copies, of which one stays; the gravest kind of copy comes first
    proposes : the action that a flag proposes, where it has what that needs (a relabel needs a suggested label)
    """

    name: str
    note: str
    title: str = ""
    sentence: str = ""
    measured: tuple[str, ...] = ()
    impact: float = 0.2
    view: str = OTHER_VIEW
    keeps_one: bool = False
    proposes: str = "drop"

    @property
    def words(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ")

    @property
    def heading(self) -> str:
        """The title, or the name as words."""
        return self.title or self.words

    @property
    def is_asked(self) -> bool:
        """Whether a person is asked about each sample."""
        return self.impact > 0


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (  # in the order of the report
        Kind(
            "label",
            "The label does not fit the picture, going by a model that never saw this label.",
            title="wrong label?",
            impact=0.8,  # teaches the wrong thing, or marks a right answer as wrong
            view="label",
            proposes="relabel",
        ),
        Kind(
            "leak",
            "The same picture, or the same shot, stands in two splits, so the test flatters the model.",
            impact=1.0,  # every figure on the test split is too good
            view="leak",
            keeps_one=True,
        ),
        Kind(
            "exact_duplicate",
            "The same bytes or the same pixels more than once.",
            title="exact copy",
            impact=0.4,  # counts twice
            view="duplicate",
            keeps_one=True,
        ),
        Kind(
            "near_duplicate",
            "The same shot, re-encoded, resized, cropped or a moment later.",
            impact=0.35,  # counts nearly twice
            view="duplicate",
            keeps_one=True,
        ),
        Kind(
            "outlier",
            "Unlike the rest of the data set.",
            sentence="unlike the other pictures {sure}",
            impact=0.5,  # not what the data set is about
            view="outlier",
        ),
        Kind(
            "unreadable",
            "The file does not open as a picture; it stays out of every version, with its reason.",
            impact=0.0,  # left out of every version anyway
        ),
        Kind(
            "dark",
            "Even the brightest parts are dark.",
            sentence="very dark: its brightest parts reach {0:.0%} of white",
            measured=("brightness_p99",),
            impact=0.3,  # no picture to learn from
            view="quality",
        ),
        Kind(
            "bright",
            "Even the darkest parts are bright.",
            sentence="very bright: even its darkest parts are at {0:.0%} of white",
            measured=("brightness_p5",),
            impact=0.3,
            view="quality",
        ),
        Kind(
            "blurry",
            "Hardly any fine detail.",
            sentence="blurred: hardly any fine detail",
            impact=0.3,
            view="quality",
        ),
        Kind(
            "low_information",
            "Hardly any content.",
            title="no content",
            sentence="hardly any content: {0:.1f} bits of entropy",
            measured=("entropy",),
            impact=0.3,
            view="quality",
        ),
        Kind(
            "odd_size",
            "Much larger or smaller than the rest.",
            sentence="unusual size: {0:.0f}×{1:.0f} pixels",
            measured=("width", "height"),
            impact=0.15,  # may be all right
            view="quality",
        ),
        Kind(
            "odd_aspect_ratio",
            "Very long or very tall.",
            title="odd shape",
            sentence="unusual shape: {0:.0f}×{1:.0f} pixels",
            measured=("width", "height"),
            impact=0.15,
            view="quality",
        ),
        Kind(
            "grayscale",
            "Grey among coloured pictures.",
            sentence="grey among coloured pictures",
            impact=0.1,
            view="quality",
        ),
        # of whole classes and groups: told in the report, not asked per sample
        Kind("class_imbalance", "Belongs to a class that has far fewer samples than the largest.", impact=0.0),
        Kind("class_overlap", "Belongs to a class that the model takes for another.", impact=0.0),
        Kind(
            "underperforming_group",
            "Belongs to a group of pictures that the model gets wrong more often than the rest.",
            impact=0.0,
        ),
        Kind(
            "spurious_correlation",
            "A measurement of the picture, such as its brightness, gives the label away.",
            impact=0.0,
        ),
    )
}
LEAK_BESIDE_TEST = 0.7  # of a leak's impact where test is not touched (train and val share a picture)
# issues of which a copy stays; of a picture in several groups the gravest is asked about first
KEEP_ONE = tuple(kind.name for kind in KINDS.values() if kind.keeps_one)


@functools.cache
def all_kinds() -> dict[str, Kind]:
    """Ours and those of installed packages, by name.

    Raises
    ------
    SchemaError : an entry point names no Kind, or one whose name is taken
    """
    kinds = dict(KINDS)
    for entry in entry_points(group="curate.kinds"):
        loaded = entry.load()
        for kind in loaded if isinstance(loaded, tuple) else (loaded,):
            if not isinstance(kind, Kind):
                raise SchemaError(f"the entry point '{entry.name}' of {entry.value} is no curate.issues.kinds.Kind")
            if kind.name in kinds:
                raise SchemaError(f"the kind '{kind.name}' of {entry.value} has a name that is taken")
            kinds[kind.name] = kind
    return kinds


def kind_of(issue: object) -> Kind:
    """The kind of an issue; of one that nobody has described, one with its name and little else."""
    name = str(issue)
    return all_kinds().get(name) or Kind(name, "")


def issues_of_view(view: str) -> tuple[str, ...]:
    """The issues whose flags the App shows in a view, in the order of the kinds."""
    return tuple(kind.name for kind in all_kinds().values() if kind.view == view and kind.is_asked)
