"""The engine of one machine: a plain loop. Threads belong to the work inside a shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from curate.engine.base import OpenWorker, Result, Task


class LocalEngine:
    """Runs one task after the other in this process."""

    def map(self, open_worker: OpenWorker[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]:
        with open_worker() as work:
            for task in tasks:
                yield work(task)
