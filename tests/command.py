"""The command line inside the tests: in this process, or in one that may be killed."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from click.testing import CliRunner, Result
from PIL import Image

from curate.cli import main

# Forked with everything imported, so that a moment drawn at random falls into the work and not into the imports.
PROCESSES = multiprocessing.get_context("forkserver")
PRELOADED = ["command", "curate.embed.scan", "curate.verbs.apply", "curate.find", "sklearn.ensemble"]
PROCESSES.set_forkserver_preload(PRELOADED)


def curate(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """Run one command; whatever happens, it must not end in a traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError("".join(traceback.format_exception(*result.exc_info)))
    return result


def done(*arguments: object) -> str:
    """Run one command that must succeed; returns what it printed."""
    result = curate(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object, code: int = 1) -> str:
    """Run one command that must fail and say why; returns what it said."""
    result = curate(*arguments)
    assert result.exit_code == code, result.output
    assert "Error: " in result.stderr
    return result.stderr


def picture(file: Path, seed: int = 0, *, side: int = 40, mode: str = "RGB") -> Path:
    """An image of noise, which no other seed looks like."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(file)
    return file


def class_folders(root: Path, counts: dict[str, int]) -> Path:
    """root/CLASS/000.png …, with so many images of each class."""
    for number, (label, count) in enumerate(counts.items()):
        for image in range(count):
            picture(root / label / f"{image:03d}.png", 1000 * number + image)
    return root


def verdicts(workspace: Path, file: Path, n: int = 5) -> Path:
    """A CSV that keeps the first `n` samples of a workspace."""
    ids = pd.read_parquet(workspace / "tables/samples.parquet")["sample_id"].head(n)
    pd.DataFrame({"sample_id": ids, "issue": "label", "action": "keep"}).to_csv(file, index=False)
    return file


@contextmanager
def started(*arguments: object, said: Path) -> Iterator[multiprocessing.process.BaseProcess]:
    """One command in a process of its own that writes to the file `said`."""
    process = PROCESSES.Process(target=_command, args=([str(a) for a in arguments], str(said)))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def run_apart(*arguments: object, said: Path) -> float:
    """Run one command to its end in a process of its own; returns the seconds of processor time that it took."""
    with started(*arguments, said=said) as process:
        process.join()
        assert process.exitcode == 0, said.read_text()
    return float(said.with_suffix(".seconds").read_text())


def run_and_kill(after: float, *arguments: object, said: Path) -> str:
    """Kill one command after so many seconds of its processor time, however busy the machine; returns what it said."""
    with started(*arguments, said=said) as process:
        while process.is_alive() and _processor_time(process.pid) < after:
            time.sleep(0.005)
        process.kill()
    return said.read_text() if said.exists() else ""


def _processor_time(pid: int | None) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return float("inf")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _command(arguments: list[str], said: str) -> None:
    stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    try:
        main(arguments)
    finally:
        Path(said).with_suffix(".seconds").write_text(str(time.process_time()))
