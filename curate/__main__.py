"""The command `curate`, also as `python -m curate`."""

import atexit
import gc
import io
import os
import sys

from curate.cli import main

GARBAGE = 100_000  # new objects before Python looks for what is left over; modules are a million that stay


def run() -> None:
    """Run the command, then end the process at once.

    Python would first take apart every module it has loaded, which after torch and what comes with it lasts a second
    and a half. Registered before anything else, the end comes last: whatever others registered has been done by then.
    """
    gc.set_threshold(GARBAGE)
    for stream in (sys.stdout, sys.stderr):  # help, bars and other libraries' words, where the encoding lacks a letter
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    codes = [1]  # of an error that nobody has caught
    atexit.register(_end, codes)
    try:
        main()
    except SystemExit as end:
        codes.append(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise


def _end(codes: list[int]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(codes[-1])


if __name__ == "__main__":
    run()
