# SPDX-License-Identifier: Apache-2.0
"""Many service IPs on one node, as documents: what the benches and the test of work per change load.

A port has `PER_PORT` fixed IPs, each with a floating IP of its own, so a port costs the
same on a node with 100 service IPs and on one with 10,000; only the ports are more.
"""

from collections.abc import Iterator

from buoy.model.address import Address, Mac, Prefix
from buoy.model.documents import Document
from buoy.model.group import Rule, SecurityGroup, Side
from buoy.model.network import Network, Subnet
from buoy.model.service_ip import Endpoint, ServiceIP
from buoy.model.workload import FixedIP, Workload

NODE = "compute-1"
"""The node that is measured."""

PER_PORT = 100
"""Fixed IPs of a port."""

SPARE = 2
"""Ports that exist besides those that carry the load: changes are made to theirs."""

_RULES = (
    *(Rule(side=Side.EGRESS, family=version) for version in (4, 6)),
    *(Rule(side=Side.INGRESS, family=4, protocol=6, first=port, last=port) for port in (22, 80, 443)),
    Rule(side=Side.INGRESS, family=4, protocol=17),
    Rule(side=Side.INGRESS, family=4, protocol=1),
)


def ports(count: int) -> int:
    """Return how many ports a node with so many service IPs has, spare ones included."""
    return -(-count // PER_PORT) + SPARE


def tap(port: int) -> str:
    """Return a port's interface."""
    return f"tap{port:06x}-00"


def fixed(number: int) -> Address:
    """Return the fixed IP with a number; that of port P begin at P x PER_PORT."""
    return Address(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")


def service(number: int) -> Address:
    """Return the service IP with a number."""
    return Address(f"172.{16 + (number >> 16)}.{number >> 8 & 255}.{number & 255}")


def associated(number: int, target: int, node: str) -> ServiceIP:
    """Return a service IP that leads to the fixed IP with number `target`."""
    end = Endpoint(workload=f"port-{target // PER_PORT}", target=fixed(target), node=node)
    return ServiceIP(address=service(number), id=f"fip-{number}", endpoints=(end,))


def unbound(number: int) -> ServiceIP:
    """Return a service IP that leads nowhere."""
    return ServiceIP(address=service(number), id=f"fip-{number}")


def workload(port: int, node: str) -> Workload:
    """Return a port with its fixed IPs."""
    first = port * PER_PORT
    return Workload(
        id=f"port-{port}",
        node=node,
        interface=tap(port),
        mac=Mac(f"fa:16:3e:00:{port >> 8:02x}:{port & 255:02x}"),
        network="net",
        fixed_ips=tuple(FixedIP(address=fixed(first + each), subnet="s4") for each in range(PER_PORT)),
        groups=("web",),
    )


def documents(count: int, node: str) -> Iterator[Document]:
    """Yield a node's ports, and a service IP for each of the first `count` fixed IPs."""
    yield Network(id="net", name="net")
    yield Subnet(id="s4", network="net", prefix=Prefix("10.0.0.0/8"), gateway=Address("10.255.255.254"))
    yield SecurityGroup(id="web", name="web", rules=_RULES)
    for port in range(ports(count)):
        yield workload(port, node)
    for number in range(count):
        yield associated(number, number, node)


def spare(count: int, port: int = 0) -> int:
    """Return the number of the first fixed IP of a spare port: none of its fixed IPs has a service IP."""
    return (ports(count) - SPARE + port) * PER_PORT
