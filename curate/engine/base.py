"""The protocol of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

# What is called where a worker is to be: it may be another process, so it pickles, and so do tasks and results.
OpenWorker = Callable[[], AbstractContextManager[Callable[[Task], Result]]]


class Engine(Protocol):
    """Runs workers on tasks and yields the results in the order of the tasks.

    A worker gets its tasks in their order. One that raises ends the map with that exception; results yielded before it
    stand.
    """

    def map(self, open_worker: OpenWorker[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]: ...
