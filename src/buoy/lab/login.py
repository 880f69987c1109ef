# SPDX-License-Identifier: Apache-2.0
"""Logging in to a guest that has a kernel of its own: by SSH, over the network, as a user does.

Promises to say what is in the way before a shell takes the terminal over. The tricky
thing: no namespace leads into such a guest, so the same policy that guards it decides
whether it can be entered; what it has of addresses, only its console tells.
"""

import shlex
import sys
from collections.abc import Callable, Iterable, Sequence

from buoy.lab.control import LabError

USER, PORT = "cirros", 22
_PROBE = f'exec 3<>"/dev/tcp/$0/{PORT}" && read -t 2 -r -n 3 banner <&3 && [ "$banner" = SSH ]'
_SECONDS = "2"

Answers = Callable[[str, Sequence[str]], bool]
"""Tells whether a command succeeds on a node."""


def told_addresses(console: str) -> list[str]:
    """Return the addresses that a guest last told on its console."""
    told = [line.partition(":")[2] for line in console.splitlines() if line.startswith("addresses:")]
    return [word.partition("/")[0] for word in told[-1].split()] if told else []


def way(guest: str, nodes: Iterable[str], addresses: Sequence[str], answers: Answers) -> tuple[str, str]:
    """Return a node and an address at which the guest's SSH server answers it; raise `LabError` with what to do."""
    if not addresses:
        raise LabError(f"{guest} is a QEMU machine and has no address to log in at yet: `buoy lab logs {guest}`")
    tried = list(nodes)
    for node in tried:
        for address in addresses:
            if answers(node, ["timeout", _SECONDS, "bash", "-c", _PROBE, address]):
                return node, address
    raise LabError(
        f"{guest} is a QEMU machine, entered by SSH; "
        f"at {', '.join(addresses)} it answers neither {' nor '.join(tried)}: "
        f"has it booted? `buoy lab logs {guest}`; is SSH let in? "
        f"`openstack security group rule create --protocol tcp --dst-port {PORT} default`"
    )


def words(address: str, command: Sequence[str]) -> list[str]:
    """Return the words that run a command in the guest, or a shell, when executed on a node that reaches it."""
    terminal = ["-t"] if sys.stdin is not None and sys.stdin.isatty() else []
    # the server hands one text to a shell: quoted, so that the words stay what they are
    return ["ssh", *terminal, f"{USER}@{address}", *([shlex.join(command)] if command else [])]
