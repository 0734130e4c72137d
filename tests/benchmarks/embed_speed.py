"""Where the time of a scan goes. Run: python tests/benchmarks/embed_speed.py FOLDER [--limit 2000] [--repeat 3]

Prints for each step the images per second of one core (from CPU seconds, so that other work on the machine
disturbs little) and for the whole scan those of the clock; the best of the repeats. The last lines tell what the
scan is bound by: the network, whose busy share is what the scan reached of the network's own speed, or what
happens to a file before it. On a machine with a GPU: --device cuda. Nothing is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch

from curate.config import EmbedOptions
from curate.embed.embedder import load_embedder
from curate.embed.look import THUMB
from curate.embed.scan import scan
from curate.embed.store import load
from curate.images.decode import decode
from curate.images.measure import WORK_SIDE, measure
from curate.images.resize import resized
from curate.networks.embedder import Embedder

BEFORE = ("read", "sha256", "decode", "measure", "thumbnail")  # what happens to a file before the network

Line = tuple[str, float, float]  # step, images/s of one core, images/s by the clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=2000, help="images to use")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--model", default=EmbedOptions.model)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--device", default=EmbedOptions.device)
    parser.add_argument("--backend", default=EmbedOptions.backend)
    given = parser.parse_args()
    paths = sorted(str(path) for path in given.folder.rglob("*") if path.is_file())[: given.limit]
    options = EmbedOptions(model=given.model, image_size=given.image_size, device=given.device, backend=given.backend)
    started = time.perf_counter()
    embedder = load_embedder(options, paths)
    print(f"{len(paths)} images, {embedder.fingerprint}, {embedder.dim} features, {embedder.lanes} lanes")
    print(f"model ready in {time.perf_counter() - started:.1f} s; {_peak_mb()} MB before the first image\n")
    lines = [*_steps(paths, embedder, given.repeat), *_scans(paths, embedder, options, given.repeat)]
    print(f"{'step':<28}{'img/s, one core':>18}{'img/s, clock':>16}")
    for step, of_a_core, by_the_clock in lines:
        print(f"{step:<28}{of_a_core:>18,.0f}{by_the_clock:>16,.0f}")
    print(f"\n{_bound({line[0]: line for line in lines}, embedder)}\npeak memory {_peak_mb()} MB")


def _steps(paths: Sequence[str], embedder: Embedder, repeat: int) -> list[Line]:
    """Each step alone, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    files = [Path(path).read_bytes() for path in paths]
    images = [decode(data, target=max(embedder.image_size, WORK_SIDE)) for data in files]
    batch = embedder.batch_size
    pixels = [resized(image.rgb, embedder.image_size) for image in images[: 8 * batch]]
    batches = [np.stack(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    steps: dict[str, tuple[Callable[[Any], Any], Sequence[Any], int]] = {
        "read": (lambda path: Path(path).read_bytes(), paths, 1),
        "sha256": (lambda data: hashlib.sha256(data).hexdigest(), files, 1),
        "decode": (lambda data: decode(data, target=max(embedder.image_size, WORK_SIDE)), files, 1),
        "measure": (measure, images, 1),
        "thumbnail": (lambda image: resized(image.rgb, THUMB), images, 1),
        f"resize to {embedder.image_size}": (lambda image: resized(image.rgb, embedder.image_size), images, 1),
        "embed": (embedder.embed, batches, batch),
    }
    lines = [_best(name, step, items, size, repeat) for name, (step, items, size) in steps.items()]
    torch.set_num_threads(threads)
    return lines


def _bound(lines: dict[str, Line], embedder: Embedder) -> str:
    """What the scan could reach if only its network, or only the rest of its work, took time; and what it did."""
    cores, on_cpu = os.cpu_count() or 1, embedder.device.type == "cpu"
    files = cores / sum(1 / lines[step][1] for step in lines if step in BEFORE or step.startswith("resize"))
    network = cores * lines["embed"][1] if on_cpu else lines["embed"][2]
    reached = lines["whole scan"][2]
    bound = "the network" if network < files else "reading, decoding and measuring"
    return (
        f"the network alone: {network:,.0f} img/s; the files alone, on {cores} cores: {files:,.0f} img/s\n"
        f"the scan: {reached:,.0f} img/s, the {embedder.device} busy {reached / network:.0%} of the time; "
        f"bound by {bound}"
    )


def _best(name: str, step: Callable[[Any], Any], items: Sequence[Any], size: int, repeat: int) -> Line:
    count, cpu, clock = size * len(items), float("inf"), float("inf")
    for _ in range(repeat):
        before = _cpu_seconds(), time.perf_counter()
        for item in items:
            step(item)
        cpu = min(cpu, _cpu_seconds() - before[0])
        clock = min(clock, time.perf_counter() - before[1])
    return name, count / cpu, count / clock


def _scans(paths: Sequence[str], embedder: Embedder, options: EmbedOptions, repeat: int) -> list[Line]:
    """The whole scan into a new store, again over the unchanged folder, and loading what it stored."""
    sources = pd.DataFrame({"sample_id": paths, "path": paths})
    lines: dict[str, list[Line]] = {}
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("whole scan", "again, unchanged"):
                line = _best(
                    name, lambda one: scan(one, embedder, Path(folder), options=options), [sources], len(paths), 1
                )
                lines.setdefault(name, []).append(line)
            table = scan(sources, embedder, Path(folder), options=options)
            lines.setdefault("load", []).append(
                _best("load", lambda one: load(Path(folder), one), [table], len(paths), 1)
            )
    return [(name, max(line[1] for line in found), max(line[2] for line in found)) for name, found in lines.items()]


def _cpu_seconds() -> float:
    """Of this process and of those that looked at files for it and have ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
