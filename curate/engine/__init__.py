"""Where shards run. An engine maps a function over tasks; it knows nothing of images or labels."""

from curate.engine.base import Engine
from curate.engine.local import LocalEngine

__all__ = ["Engine", "LocalEngine"]
