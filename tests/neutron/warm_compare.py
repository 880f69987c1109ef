# SPDX-License-Identifier: Apache-2.0
"""`compare_now` kept warm: Neutron is imported once, and each comparison is a fork of that.

Reads one JSON list of arguments a line (``--prepare URL`` makes an empty database),
writes one JSON list a line: exit code and what was printed.
"""

import contextlib
import io
import json
import os
import sys

from buoy.neutron import compare_now, database


def answer(code: int, text: str) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps([code, text]) + "\n")
    sys.stdout.flush()


def prepare(url: str) -> None:
    """Make an empty database and answer."""
    database.prepare(url)
    answer(0, url)


def compare(words: list[str]) -> None:
    """Compare and answer."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = compare_now.main(words)
    answer(code, printed.getvalue())


for line in sys.stdin:
    child = os.fork()
    if not child:
        words = json.loads(line)
        if words[0] == "--prepare":
            prepare(words[1])
        else:
            compare(words)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        answer(-1, "it failed: see compare.log")
