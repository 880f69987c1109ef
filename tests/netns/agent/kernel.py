# SPDX-License-Identifier: Apache-2.0
"""What a stranger sees of a node: the kernel's own words, and whether they keep the promise."""

import json
import re
from pathlib import Path
from typing import Any

from tests.netns.dataplane.place import Place

_LISTINGS = "ip route show table all; ip -6 route show table all; ip rule; ip neigh show nud permanent"
_SYSCTLS = " ".join(
    f"/proc/sys/net/{name}"
    for name in (
        *(f"ipv4/conf/tap*/{name}" for name in ("forwarding", "proxy_arp", "rp_filter", "route_localnet")),
        *(f"ipv6/conf/tap*/{name}" for name in ("disable_ipv6", "forwarding", "accept_ra", "proxy_ndp")),
        "ipv4/neigh/tap*/proxy_delay",
        "ipv6/neigh/tap*/proxy_delay",
        "ipv4/ip_forward",
    )
)
_FILLED_BY_PACKETS = re.compile(r"\tset \w+ {[^}]*flags dynamic[^{}]*(elements = {.*?}\s*)?}", re.DOTALL)


def everything(node: Place, dhcp: Path) -> tuple[list[str], ...]:
    """Return all of a node that an agent may change, in an order that does not depend on how it came about."""
    lines = sorted(node.exec("sh", "-c", f"{_LISTINGS}; grep -s . {_SYSCTLS}").splitlines())
    files = sorted(f"{path.name} {path.read_text()}" for path in dhcp.glob("*"))
    ruleset = node.exec("nft", "list", "ruleset")
    nft = sorted(re.split(r"[\s,]+", _FILLED_BY_PACKETS.sub("", ruleset)))
    return lines, nft, files


def broken_promises(node: Place) -> list[str]:
    """Name every announced prefix whose forwarding or policy is not in the kernel."""
    elements = _elements(node)
    mains = {line.split()[0]: line for line in _lines(node, "main")}
    found = []
    for line in _lines(node, "2053"):
        words = line.split()
        if words[0] == "unreachable":
            found += _stray(words[1], elements)
            continue
        address, tap = words[0], words[words.index("dev") + 1]
        if f"dev {tap}" not in mains.get(address, ""):
            found.append(f"{address}: no route to {tap}")
        lacking = (name for name in ("to_guest", "from_guest") if tap not in elements[name])
        found += [f"{address}: {tap} is not in {name}" for name in lacking]
        target = {**elements["fip4"], **elements["fip6"]}.get(address, address)
        if f"dev {tap}" not in mains.get(str(target), ""):
            found.append(f"{address}: {target} is not behind {tap}")
        if address.startswith("198.51.100.2") and target == address:
            found.append(f"{address}: no NAT")
        if not any(f"{tap} {target}" in place for place in elements["source4"] | elements["source6"]):
            found.append(f"{address}: {target} may not send")
    return found


def _stray(prefix: str, elements: dict[str, dict[str, Any]]) -> list[str]:
    """Name what is announced for a Service though what nobody forwards of it is not stopped."""
    sets = ("straynet4", "straynet6") if "/" in prefix else ("stray4", "stray6")
    return [] if any(prefix in elements[name] for name in sets) else [f"{prefix}: not in {' or '.join(sets)}"]


def _lines(node: Place, table: str) -> list[str]:
    # a table that never had a route is an error to ip, and only then
    show = f"route show table {table} proto 205 2>/dev/null || true"
    both = (node.exec("sh", "-c", f"ip {version} {show}") for version in ("-4", "-6"))
    return [line for text in both for line in text.splitlines()]


def _elements(node: Place) -> dict[str, dict[str, Any]]:
    """Return the elements of each set and map: a place as one text, and what it leads to."""
    listing = json.loads(node.exec("nft", "-j", "list", "table", "inet", "buoy"))["nftables"]
    found: dict[str, dict[str, Any]] = {}
    for item in listing:
        for kind in ("set", "map"):
            if kind in item:
                found[item[kind]["name"]] = dict(_pair(element) for element in item[kind].get("elem", []))
    return found


def _pair(element: Any) -> tuple[str, Any]:  # noqa: ANN401  JSON
    place, data = element if isinstance(element, list) else (element, None)
    if isinstance(place, dict) and "prefix" in place:
        return f"{place['prefix']['addr']}/{place['prefix']['len']}", data
    if isinstance(place, dict) and "concat" in place:
        parts = place["concat"]
        return f"{parts[0]} {parts[2]}" if len(parts) == 3 else " ".join(map(str, parts)), data
    return str(place), data
