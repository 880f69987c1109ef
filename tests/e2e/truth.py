# SPDX-License-Identifier: Apache-2.0
"""What Neutron shows and what `buoy why` says of an address, and the ways in which tests break one plane by hand."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from tests.e2e.cloud import Cloud, eventually

Guest = dict[str, Any]


def status(cloud: Cloud, address: str) -> str:
    """Return what Neutron shows of a floating IP."""
    return cloud.openstack("floating", "ip", "show", address, "-f", "value", "-c", "status")


def port_status(cloud: Cloud, port: str) -> str:
    """Return what Neutron shows of a port."""
    return cloud.openstack("port", "show", port, "-f", "value", "-c", "status")


def why(cloud: Cloud, address: str, node: str = "controller") -> list[dict[str, Any]]:
    """Return the lines of `buoy why` as asked on a node."""
    lines: list[dict[str, Any]] = json.loads(cloud.buoy("why", address, "-o", "json", node=node, check=False))
    return lines


def reasons(cloud: Cloud, address: str, node: str = "controller") -> set[str]:
    """Return the reasons of all lines that are not well; empty if the address is served."""
    return {line["reason"] for line in why(cloud, address, node) if not line["ok"]}


def becomes(cloud: Cloud, address: str, wanted: str, seconds: float = 10) -> None:
    """Wait until Neutron shows a floating IP so."""
    eventually(lambda: status(cloud, address), lambda seen: seen == wanted, seconds)


def says(cloud: Cloud, address: str, reason: str, node: str = "controller", seconds: float = 10) -> None:
    """Wait until `buoy why` on a node names a reason."""
    eventually(lambda: reasons(cloud, address, node), lambda seen: reason in seen, seconds)


def serves(cloud: Cloud, address: str, node: str) -> None:
    """Wait until Neutron shows a floating IP ACTIVE, and `buoy why` on its node has nothing to add."""
    becomes(cloud, address, "ACTIVE", 30)
    eventually(lambda: reasons(cloud, address, node), lambda seen: not seen, 10)


def floating(cloud: Cloud, port: str = "") -> str:
    """Create a floating IP, associated if a port is given, and return its address."""
    to = ["--port", port] if port else []
    made = cloud.get("floating", "ip", "create", "public", *to)
    return str(made["floating_ip_address"])


def restart(cloud: Cloud, node: str, service: str) -> None:
    """Start a service that was killed, and wait until it is ready."""
    cloud.lab.service("start", node, service)
    cloud.lab.wait_ready(node, service, timeout=90)


def metric(cloud: Cloud, node: str, name: str) -> float:
    """Return the sum of an agent's metric over its labels."""
    lines = cloud.on(node, "curl", "-s", "http://127.0.0.1:9705/metrics").splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((name + "{", name + " ")))


def keys(cloud: Cloud, word: str) -> list[str]:
    """Return the keys in the store that contain a word."""
    found = cloud.on("controller", "etcdctl", "get", "--prefix", "/buoy/v1/", "--keys-only").split()
    return [key for key in found if word in key]


@contextlib.contextmanager
def killed(cloud: Cloud, node: str, service: str) -> Iterator[None]:
    """Kill a service with -9; it is started again at the end."""
    cloud.lab.service("kill", node, service)
    try:
        yield
    finally:
        restart(cloud, node, service)


@contextlib.contextmanager
def link_down(cloud: Cloud, node: str, interface: str) -> Iterator[None]:
    """Take a link down."""
    cloud.on(node, "ip", "link", "set", interface, "down")
    try:
        yield
    finally:
        cloud.on(node, "ip", "link", "set", interface, "up")


@contextlib.contextmanager
def led_elsewhere(cloud: Cloud, node: str, address: str) -> Iterator[None]:
    """Put a route that the kernel prefers to ours, as somebody's hand may."""
    cloud.on(node, "ip", "route", "add", "blackhole", address)
    try:
        yield
    finally:
        cloud.on(node, "ip", "route", "delete", "blackhole", address)


@contextlib.contextmanager
def led_past(cloud: Cloud, node: str, address: str) -> Iterator[None]:
    """Put a rule that comes before table main, as a VPN may."""
    rule = ("prio", "5270", "to", address, "unreachable")
    cloud.on(node, "ip", "rule", "add", *rule)
    try:
        yield
    finally:
        cloud.on(node, "ip", "rule", "delete", *rule)


@contextlib.contextmanager
def filtered(cloud: Cloud, prefix: str) -> Iterator[None]:
    """Keep a prefix from the router by an export filter."""
    cloud.buoy("filter", "add", "hide", f"reject {prefix}")
    cloud.buoy("peer", "set", "access", "--export-filter", "hide")
    try:
        yield
    finally:
        cloud.buoy("peer", "set", "access", "--export-filter", "")
        cloud.buoy("filter", "delete", "hide")


@contextlib.contextmanager
def table_owned_by_another(cloud: Cloud, node: str) -> Iterator[None]:
    """Put an nft table that only its owner may change in the place of ours; it goes when the owner ends."""
    command = cloud.lab.command(node, ["nft", "-i"])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("delete table inet buoy; add table inet buoy { flags owner; }\n")
        process.stdin.flush()
        try:
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def rewritten(cloud: Cloud, key: str, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Change a document in the store by hand, past everybody."""
    before = cloud.on("controller", "etcdctl", "get", key, "--print-value-only").strip()
    document = json.loads(before)
    change(document)
    cloud.lab.exec("controller", "etcdctl", "put", key, text=json.dumps(document))
    try:
        yield
    finally:
        cloud.lab.exec("controller", "etcdctl", "put", key, text=before)
