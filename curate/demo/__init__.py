"""A data set whose every fault is known: handwritten digits with planted defects, and the count of what was found."""

from curate.demo.plant import NOTICE, Plan, Planted, plant, read_planted
from curate.demo.score import score, score_text, wrong_labels

__all__ = ["NOTICE", "Plan", "Planted", "plant", "read_planted", "score", "score_text", "wrong_labels"]
