# SPDX-License-Identifier: Apache-2.0
"""The real `openstack` command, kept warm: one interpreter for many commands.

Run by the client's own interpreter. Reads one JSON list of words a line, writes one
JSON object a line with what the command printed and its exit code. It is the client's
own shell class with the client's own arguments; only the start of Python is saved.
"""

import contextlib
import io
import json
import sys

from openstackclient import shell


def run(words: list[str]) -> dict[str, object]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = shell.OpenStackShell().run(words)
        except SystemExit as end:
            code = end.code
    return {"code": code or 0, "out": out.getvalue(), "err": err.getvalue()}


answers = sys.stdout
for line in sys.stdin:
    answers.write(json.dumps(run(json.loads(line))) + "\n")
    answers.flush()
