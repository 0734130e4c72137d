"""The engine of one machine: a plain loop. Threads belong to the work inside a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from curate.engine.base import Result, Task


class LocalEngine:
    """Runs one shard after the other in this process."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        return map(function, tasks)
