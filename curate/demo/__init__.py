"""A data set whose every fault is known: handwritten digits with planted defects, and the count of what was found."""

from curate.demo.counting import score, score_text, wrong_labels
from curate.demo.people import review
from curate.demo.planting import NOTICE, Plan, Planted, plant, read_planted

__all__ = ["NOTICE", "Plan", "Planted", "plant", "read_planted", "review", "score", "score_text", "wrong_labels"]
