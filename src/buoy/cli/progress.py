# SPDX-License-Identifier: Apache-2.0
"""What a command that takes long is doing: lines on standard error once a person begins to wonder.

Promises nothing at all from a command that is quick, and a line again and again from one that is not, also while
it computes: that is why a thread of its own tells.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Tell: TypeAlias = Callable[[str], None]
"""Hears what is being done from now on."""

QUIET, AGAIN = 2.0, 2.0
"""Seconds before the first line, and between two."""


@contextmanager
def progress(doing: str, quiet: float = QUIET, again: float = AGAIN) -> Iterator[Tell]:
    """Tell standard error what is being done while the block lasts, first `doing`."""
    now = [doing]
    over = threading.Event()
    began = time.monotonic()

    def tell() -> None:
        wait = quiet
        while not over.wait(wait):
            print(f"buoy: {now[0]} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
            wait = again

    def hear(what: str) -> None:
        now[0] = what

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield hear
    finally:
        over.set()
        teller.join()
