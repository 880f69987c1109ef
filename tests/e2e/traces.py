# SPDX-License-Identifier: Apache-2.0
"""What is left of an address anywhere: in routes, neighbours, NAT, connections, BIRD and the store."""

from tests.e2e.cloud import Cloud

NODES = ("compute-1", "compute-2")
_LOOKS = {
    "route": ("ip", "route", "show", "table", "all"),
    "IPv6 route": ("ip", "-6", "route", "show", "table", "all"),
    "neighbour": ("ip", "neighbour"),
    "IPv6 neighbour": ("ip", "-6", "neighbour"),
    "nft": ("nft", "-n", "list", "table", "inet", "buoy"),
    "connection": ("conntrack", "-L"),
    "IPv6 connection": ("conntrack", "-L", "-f", "ipv6"),
    "BIRD": ("birdc", "-s", "/run/buoy/bird.ctl", "show", "route"),
}


def traces(cloud: Cloud, address: str, *, own: bool = False) -> list[str]:
    """Return where a node or the router still knows an address, as ``NODE PLANE``.

    `own` leaves out connections that nobody translates: those of clients that once called it.
    """
    found = [f"{node} {plane}" for node in NODES for plane in _LOOKS if address in _words(cloud, node, plane, own=own)]
    routed = address in _words(cloud, "access", "IPv6 route" if ":" in address else "route")
    return [*found, *(["access route"] if routed else [])]


def _words(cloud: Cloud, node: str, plane: str, *, own: bool = False) -> list[str]:
    lines = cloud.on(node, *_LOOKS[plane]).replace("/", " ").replace(",", " ").splitlines()
    if "connection" in plane:
        lines = [" ".join(ends) for ends in map(_ends, lines) if not own or ends[:2] != ends[3:1:-1]]
    return " ".join(lines).split()


def _ends(line: str) -> list[str]:
    """Return source and destination of a connection, as it began and as it is answered."""
    return [word[4:] for word in line.split() if word.startswith(("src=", "dst="))]
