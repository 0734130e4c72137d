"""Who looks at files: threads at photographs, processes at small pictures.

Of a photograph most time goes into decoders, which run side by side in threads. A small picture is quickly decoded; the
rest is Python, which runs one thread at a time, so three threads look at fewer of them in a second than one. Processes
don't wait for each other, and can begin while the network is loaded. They are plain children that answer through pipes:
a script needs no `if __name__ == "__main__"`, and nothing is forked from a process that has threads.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from queue import LifoQueue
from typing import IO, TYPE_CHECKING, Any

import cv2

from curate.config import EmbedOptions
from curate.embed.look import DECODING, File, Look, Row, failed, look_at, stat_file
from curate.embed.size import typical_side
from curate.images.decode import quiet_decoders
from curate.machine.memory import MemoryBudget

if TYPE_CHECKING:
    import pandas as pd  # the processes, which import this file, have no use for it

LookAt = Callable[[Sequence[File]], list[Look]]

EACH = 500  # small pictures that make a further process worth its start
CHUNK = 32  # files that a process looks at, of those begun before they are asked for
BEGUN = 1 << 28  # bytes of pixels that may wait for the network

_CHILD = "import sys; sys.path[:] = {path!r}; from curate.embed.workers import serve; serve()"


def list_files(sources: pd.DataFrame) -> tuple[list[File], list[Row]]:
    """The files of SOURCES that can be opened, in order, and rows that say why the others can't."""
    listed = [stat_file(*pair) for pair in zip(sources["sample_id"], sources["path"], strict=True)]
    return [file for file in listed if isinstance(file, File)], [row for row in listed if not isinstance(row, File)]


def open_pool(paths: Sequence[str], image_size: int, options: EmbedOptions) -> WorkerPool:
    """Threads or processes, as the pictures at `paths` want it: one for each core, or as many as `options` say."""
    workers = options.workers or os.cpu_count() or 1
    are_small = (typical_side(paths) or image_size) < image_size
    processes = min(workers, len(paths) // EACH) if are_small else 0
    return WorkerPool(image_size, options.max_pixels, workers, processes=processes)


class WorkerPool:
    """Looks at files: in `processes`, or by the threads that ask where that is 0. Safe to call from several threads.

    A context manager: the processes end with it. They end as well when this process is killed.

    Attributes
    ----------
    workers : looks worth taking at once
    """

    def __init__(self, image_size: int, max_pixels: int, workers: int, *, processes: int) -> None:
        self.workers, self.processes = workers, processes
        self._image_size, self._max_pixels = image_size, max_pixels
        self._budget = MemoryBudget(DECODING.total // processes) if processes else DECODING  # of each process
        self._known: Container[str] = ()
        self._free: LifoQueue[Worker] = LifoQueue()  # the one that has started rather than one that has not
        self._all = [Worker() for _ in range(processes)]
        for worker in self._all:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(max(1, processes - 1))  # a core is for what they are ahead of
        self._begun: dict[File, Future[list[Look]]] = {}

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._all:
            worker.end()
        self._threads.shutdown()  # whoever waited for an answer has seen that there is none
        for worker in self._all:
            worker.close()

    def know(self, contents: Container[str]) -> None:
        """Contents, by SHA-256, that need not be decoded. To be told before the first look that is asked for."""
        self._known = contents

    @property
    def reach(self) -> int:
        """How many files may be begun: none without processes, else as many as memory allows."""
        return BEGUN // (3 * self._image_size**2) if self.processes else 0

    def begin(self, files: Sequence[File]) -> None:
        """Look at these files already; whoever asks for them gets what was seen."""
        for start in range(0, len(files), CHUNK):
            chunk = files[start : start + CHUNK]
            future = self._threads.submit(self._look_now, chunk)
            self._begun |= dict.fromkeys(chunk, future)

    def look(self, files: Sequence[File]) -> list[Look]:
        """What `look_at` says of these files."""
        self._threads.shutdown(wait=False, cancel_futures=True)  # what has not begun by now is looked at when asked for
        begun = {future for file in files if (future := self._begun.pop(file, None)) and not future.cancelled()}
        looks = {look.row["sample_id"]: look for future in begun for look in future.result()}
        rest = [file for file in files if file.sample_id not in looks]
        looks |= {look.row["sample_id"]: look for look in self._look_now(rest)}
        return [looks[file.sample_id] for file in files]

    def _look_now(self, files: Sequence[File]) -> list[Look]:
        look = partial(
            look_at,
            image_size=self._image_size,
            max_pixels=self._max_pixels,
            known=self._known,
            budget=self._budget,
        )
        if not self.processes:
            return look(files)
        if not files:
            return []
        with self._one_that_is_free() as worker:
            return worker.look(files, look)

    @contextmanager
    def _one_that_is_free(self) -> Iterator[Worker]:
        worker = self._free.get()
        try:
            yield worker
        finally:
            self._free.put(worker)


class Worker:
    """One process. It starts with the first question, and anew when it has died of a file."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False

    def look(self, files: Sequence[File], look: LookAt) -> list[Look]:
        """A look at each file; one that the process dies of is a row that says so.

        Raises
        ------
        ChildProcessError : the process does not even start
        Exception : what `look` raised
        """
        if self._process is None:
            self._start(look)
        try:
            found = self._ask(files)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            if len(files) == 1:
                return [Look(failed(files[0].sample_id, "unreadable", f"its decoder died: {self._buried()}"))]
            self._buried()
            return [found for file in files for found in self.look([file], look)]
        if isinstance(found, Exception):
            raise found
        return list(found)

    def end(self) -> None:
        """End the process, whatever it is doing. Whoever waits for its answer gets a ChildProcessError."""
        self._is_over = True
        if self._process:
            self._process.kill()

    def close(self) -> None:
        """Let go of the process, once nobody asks any more."""
        if self._process:
            self._buried()

    def _start(self, look: LookAt) -> None:
        if self._is_over:
            raise ChildProcessError("nobody looks at files any more")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _CHILD.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # a Ctrl-C is for us, and we end it
        )
        try:
            self._ask(look)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise ChildProcessError(f"a process that looks at files did not start: {self._buried()}") from error

    def _ask(self, question: Any) -> Any:
        assert self._process and self._process.stdin and self._process.stdout
        pickle.dump(question, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)  # of a child of ours: nobody else writes there

    def _buried(self) -> str:
        """How the process ended; the next question starts another."""
        assert self._process
        process, self._process = self._process, None
        process.kill()
        with suppress(BrokenPipeError), process:  # closes the pipes
            pass
        code = process.returncode
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


# ---- in the process ----------------------------------------------------------------------------------------


def serve() -> None:
    """Answer the questions that come in by the standard input: first how to look, then files; until it ends."""
    cv2.setNumThreads(1)
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints is no answer
    look = pickle.load(questions)
    _answer(answers, None)
    while True:
        try:
            files = pickle.load(questions)
        except EOFError:
            return
        try:
            with quiet_decoders():
                found: Any = look(files)
        except Exception as error:  # not of the file: look_at makes a row of that
            found = error
        _answer(answers, found)


def _answer(answers: IO[bytes], what: Any) -> None:
    pickle.dump(what, answers, pickle.HIGHEST_PROTOCOL)
    answers.flush()
