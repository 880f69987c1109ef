# SPDX-License-Identifier: Apache-2.0
"""The `nft` program: text in, one transaction.

Promises: a transaction that is refused changes nothing and raises with what nft
printed; the caller is given the process id, which is the port of the program's
netlink socket, so that our own notifications are known as ours.
"""

import subprocess

from buoy.model.errors import DataplaneError


def load(text: str) -> int:
    """Load text as one transaction; return the port it was done from."""
    with subprocess.Popen(
        ["nft", "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        _, said = process.communicate(text)
    if process.returncode:
        raise DataplaneError("nft -f -", _first_error(said))
    return process.pid


def _first_error(said: str) -> str:
    """Return the first error and the line it is about: nft repeats it for every line of the transaction."""
    lines = said.splitlines()
    for number, line in enumerate(lines):
        _, found, error = line.partition("Error: ")
        if found:
            return "; ".join([error.strip(), *(line.strip() for line in lines[number + 1 : number + 2])])
    return said.strip()
