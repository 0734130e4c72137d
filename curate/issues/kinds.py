"""One `Kind` per issue: all that the rest of curate says of it."""

from __future__ import annotations

TITLES = {
    "label": "wrong label?",
    "leak": "leak",
    "exact_duplicate": "exact copy",
    "near_duplicate": "near duplicate",
    "outlier": "outlier",
    "low_information": "no content",
    "odd_aspect_ratio": "odd shape",
}


TWINS = ("leak", "exact_duplicate", "near_duplicate")
# issue → what a flag means; in the order of the page
NOTES = {
    "label": "The label does not fit the picture, going by a model that never saw this label.",
    "leak": "The same picture, or the same shot, stands in two splits, so the test flatters the model.",
    "exact_duplicate": "The same bytes or the same pixels more than once.",
    "near_duplicate": "The same shot, re-encoded, resized, cropped or a moment later.",
    "outlier": "Unlike the rest of the data set.",
    "unreadable": "The file does not open as a picture; it stays out of every version, with its reason.",
    "dark": "Even the brightest parts are dark.",
    "bright": "Even the darkest parts are bright.",
    "blurry": "Hardly any fine detail.",
    "low_information": "Hardly any content.",
    "odd_size": "Much larger or smaller than the rest.",
    "odd_aspect_ratio": "Very long or very tall.",
    "grayscale": "Grey among coloured pictures.",
    "class_imbalance": "Belongs to a class that has far fewer samples than the largest.",
    "class_overlap": "Belongs to a class that the model takes for another.",
    "spurious_correlation": "A measurement of the picture, such as its brightness, gives the label away.",
}


# What one right flag is worth, relative to a picture that is both trained and tested on. The queue is ordered
# by probability times impact. Of an issue of impact 0 nothing is to be decided.
IMPACT = {
    "leak": 1.0,  # every figure on the test split is too good
    "label": 0.8,  # teaches the wrong thing, or marks a right answer as wrong
    "outlier": 0.5,  # not what the data set is about
    "exact_duplicate": 0.4,  # counts twice
    "near_duplicate": 0.35,  # counts nearly twice
    "dark": 0.3,  # no picture to learn from
    "bright": 0.3,
    "blurry": 0.3,
    "low_information": 0.3,
    "odd_size": 0.15,  # may be all right
    "odd_aspect_ratio": 0.15,
    "grayscale": 0.1,
    "unreadable": 0.0,  # left out of every version anyway, with its reason
}
ABOUT_CLASSES = "classes"  # the finder whose flags concern whole classes: told in the report, not asked per sample
OTHER_IMPACT = 0.2  # of an issue that a third party's finder brings
LEAK_BESIDE_TEST = 0.7  # of a leak's impact where test is not touched (train and val share a picture)
