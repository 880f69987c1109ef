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
        raise DataplaneError("nft -f -", said)
    return process.pid
