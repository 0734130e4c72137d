"""How long work shows itself: one bar per stage, with rate and time left, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from curate.text import one_line

Advance = Callable[[int], None]
Progress = Callable[[str, int, str], AbstractContextManager[Advance]]


@contextmanager
def silent(description: str, total: int, unit: str = "img") -> Iterator[Advance]:
    """The library's default: no output."""
    yield lambda count: None


@contextmanager
def bar(description: str, total: int, unit: str = "img") -> Iterator[Advance]:
    """A rich progress bar on stderr: `description ━━━ 512/2048 · 231 img/s · 0:00:07 left`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description:<14}", markup=False),  # a name in brackets is no style
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(one_line(description), total=total, rate="")

        def advance(count: int) -> None:
            display.advance(task, count)
            speed = display.tasks[task].finished_speed or display.tasks[task].speed
            if speed:
                display.update(task, rate=f"{speed:,.0f} {unit}/s")

        yield advance
