# SPDX-License-Identifier: Apache-2.0
"""Random stores: few names, so that documents meet, contradict and leave each other."""

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from buoy.dataplane.fake_attached import FakeAttached
from buoy.dataplane.fake_proxy import FakeProxy
from buoy.model import documents
from buoy.model.address import Address, Mac, Prefix, family
from buoy.model.documents import Document
from buoy.model.group import Member, Rule, SecurityGroup, Side
from buoy.model.guest import GuestConfig
from buoy.model.network import Network, Subnet
from buoy.model.node import Fence
from buoy.model.nodestate import Link
from buoy.model.peer import BGPSettings
from buoy.model.pool import Direction, Pool, Registry
from buoy.model.proxied import FAMILIES, Advertised, Backing, Eligibility, Kind, ProxyMode, ProxyPort
from buoy.model.reason import Reason
from buoy.model.service_ip import Attachment, Endpoint, Mode, PortMapping, ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.status import AddressStatus, State
from buoy.model.workload import AddressPair, FixedIP, Workload
from buoy.planner.sight import Sight, Stir
from tests.properties.node_states import PODLIKE, PODS

NODE, OTHER, THIRD = "compute-1", "compute-2", "compute-3"
TAPS = ("tap1", "tap2", "tap3")
FIXED = tuple(Address(text) for text in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"))
SERVICE = tuple(Address(text) for text in ("198.51.100.1", "198.51.100.2", "192.0.2.3", "2001:db8:f::1"))
GROUPS = ("red", "green", "blue")
MEMBERS = (Prefix("192.0.2.1/32"), Prefix("192.0.2.2/32"), Prefix("203.0.113.0/24"))
PORTS = (ProxyPort("tcp", 80), ProxyPort("tcp", 443), ProxyPort("udp", 53))
ADVERTISED = tuple(
    map(Prefix, ("198.51.100.0/24", "198.51.100.0/30", "198.51.100.1/32", "192.0.2.0/24", "2001:db8:f::/64"))
)
_POOLS, _IDS = ("", "", "vms"), ("", "8f1c")
SUBNETS = {"s4": Prefix("192.0.2.0/24"), "s6": Prefix("2001:db8::/64")}
Item = TypeVar("Item")


def guest(workload: Workload, subnets: Mapping[str, Subnet], network: Network | None) -> GuestConfig | None:
    """Tell a guest enough to see whether it was told anew."""
    domain = ",".join(sorted(subnets)) + (network.dns_domain if network else "")
    return GuestConfig(interface=workload.interface, mac=workload.mac, domain=domain)


class Store:
    """Documents that change by chance; each change bumps the revision."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.documents: dict[str, Document] = {}
        self.revisions: dict[str, int] = {}
        self.links: dict[str, Link] = {}
        self.proxy = FakeProxy(chance.choice((ProxyMode.NONE, ProxyMode.NFTABLES)))
        self.attached = FakeAttached()
        self.attached.follow(PODLIKE)
        self.relied: dict[Address, frozenset[ProxyPort]] = {}
        self.revision = 0
        # without these two no Service is announced: they would be there together too seldom
        for common in (_settings(chance), Eligibility(node=NODE)) if chance.random() < 0.8 else ():
            self.documents[documents.path(common)], self.revisions[documents.path(common)] = common, 0

    def snapshot(self) -> Snapshot:
        """Return a live snapshot, as a view of the store does."""
        live = MappingProxyType(self.documents), MappingProxyType(self.revisions)
        return Snapshot(Identity("cluster", self.revision), *live, {})

    def sight(self) -> Sight:
        """Return what the node sees, as live as a host's."""
        return Sight(
            self.links,
            self.proxy.mode(),
            self.proxy.proxying(),
            self.relied,
            self.attached.unrouted(),
            self.proxy.families(),
            self.proxy.stuck(),
        )

    def change(self, *, relied: bool = True) -> tuple[frozenset[str], Stir]:
        """Change a few documents, and what the node sees; return their paths, and what was stirred."""
        paths = {self._change_document() for _ in range(self.chance.randint(0, 3))}
        links = {self._change_link() for _ in range(self.chance.randint(0, 1))}
        self._change_proxy()
        believed = {self._change_relied()} if relied else set()
        if self.chance.random() < 0.2:
            self.attached.cut ^= {self.chance.choice(PODLIKE)}
        proxied, proxy = self.proxy.news()
        return frozenset(paths), Stir(frozenset(links), proxied | believed, proxy, self.attached.news())

    def _change_proxy(self) -> None:
        address, ports = self.chance.choice(SERVICE), self.chance.choice((PORTS, some(self.chance, PORTS)))
        act = self.chance.choice((self.proxy.forward, self.proxy.forward, self.proxy.refuse, self.proxy.forget))
        if self.chance.random() < (0.1 if self.proxy.mode() else 0.5):
            families = self.chance.choice((FAMILIES, FAMILIES, frozenset({4}), frozenset({6})))
            self.proxy.become(self.chance.choice(tuple(ProxyMode)), families)
        if self.chance.random() < (0.5 if self.proxy.stuck() else 0.1):
            self.proxy.freeze("" if self.proxy.stuck() else "does not answer")
        if family(address) in self.proxy.families():
            act(address, ports)

    def _change_relied(self) -> Address:
        address = self.chance.choice(SERVICE)
        if self.chance.random() < 0.5:
            self.relied[address] = frozenset(some(self.chance, PORTS))
        else:
            self.relied.pop(address, None)
        return address

    def _change_link(self) -> str:
        name = self.chance.choice(TAPS)
        if self.chance.random() < 0.3:
            self.links.pop(name, None)
        else:
            self.links[name] = Link(name, 1, self.chance.random() < 0.8)
        return name

    def _change_document(self) -> str:
        if self.documents and self.chance.random() < 0.3:
            path = self.chance.choice(sorted(self.documents))
            del self.documents[path], self.revisions[path]
            return path
        document = random_document(self.chance)
        path = documents.path(document)
        # A few revisions only, so that two documents often are of the same age.
        self.revision += self.chance.randint(0, 1)
        self.documents[path], self.revisions[path] = document, self.revision
        return path


def random_document(chance: random.Random) -> Document:
    """Return a document of any kind that a node reads."""
    guests = (_workload, _workload, _workload, _service_ip, _service_ip, _status)
    services = (_proxied, _proxied, _proxied, _settings, _settings, _eligibility, _eligibility)
    makers = (*guests, *services, _group, _member, _subnet, _network, _fence, _pool)
    return chance.choice(makers)(chance)


def some(chance: random.Random, items: tuple[Item, ...]) -> tuple[Item, ...]:
    return tuple(item for item in items if chance.random() < 0.5)


def _workload(chance: random.Random) -> Document:
    number = chance.randint(1, 3)
    return Workload(
        id=f"port{number}",
        node=chance.choice((NODE, NODE, NODE, OTHER)),
        interface=chance.choice((f"tap{number}", f"tap{number}", "tap1")),
        mac=Mac(f"fa:16:3e:00:00:0{number}"),
        network="net",
        fixed_ips=tuple(
            FixedIP(address=address, subnet="s6" if ":" in address else "s4") for address in some(chance, FIXED)
        ),
        groups=some(chance, GROUPS),
        port_security=chance.random() < 0.8,
        pairs=tuple(
            AddressPair(prefix=prefix, mac=Mac("fa:16:3e:00:00:0a"), owner=chance.choice(("", "", "port9")))
            for prefix in some(chance, MEMBERS)
        ),
        admin_up=chance.random() < 0.8,
    )


def _service_ip(chance: random.Random) -> Document:
    return ServiceIP(
        address=chance.choice(SERVICE),
        mode=chance.choice((Mode.TRANSLATED, Mode.TRANSLATED, Mode.TRANSLATED, Mode.ROUTED)),
        direction=chance.choice(tuple(Direction)),
        default_egress=chance.random() < 0.7,
        endpoints=chance.choice((_whole, _mapped))(chance),
        pool=chance.choice(_POOLS),
        id=chance.choice(_IDS),
    )


def _proxied(chance: random.Random) -> Document:
    backings = tuple(_backing(chance, number) for number in range(chance.choice((0, 1, 1, 1, 2, 2))))
    pool, kept = chance.choice(_POOLS), chance.choice(_IDS)
    return ServiceIP(address=chance.choice(SERVICE), mode=Mode.PROXIED, backings=backings, pool=pool, id=kept)


def _pool(chance: random.Random) -> Document:
    return Pool(name="vms", registry=chance.choice(tuple(Registry)))


def _backing(chance: random.Random, number: int) -> Backing:
    ready = some(chance, (NODE, OTHER, THIRD))
    return Backing(
        service=f"shop/{number}",
        kind=chance.choice((Kind.LOAD_BALANCER, Kind.LOAD_BALANCER, Kind.CLUSTER)),
        ports=some(chance, PORTS) or PORTS[:1],
        local=chance.random() < 0.6,
        host_route=chance.random() < 0.3,
        ready=ready,
        draining=tuple(node for node in some(chance, (NODE, OTHER, THIRD)) if node not in ready),
        elsewhere=chance.random() < 0.1,
    )


def _eligibility(chance: random.Random) -> Document:
    node = chance.choice((NODE, NODE, OTHER, THIRD))
    return Eligibility(node=node, excluded=chance.choice(("", "", "", "it is labelled")), prefixes=(PODS,))


def _whole(chance: random.Random) -> tuple[Endpoint, ...]:
    return tuple(_endpoint(chance) for _ in range(chance.randint(0, 2)))


def _mapped(chance: random.Random) -> tuple[Endpoint, ...]:
    return tuple(
        _endpoint(
            chance, PortMapping(protocol=chance.choice(("tcp", "udp")), first=port, last=port + 1, target_first=80)
        )
        for port in some(chance, (22, 80, 443))
    )


def _endpoint(chance: random.Random, mapping: PortMapping | None = None) -> Endpoint:
    """Return a guest's fixed IP or a pod, whose address may be a guest's as well: by mistake, or it was."""
    on_host = chance.random() < 0.3
    return Endpoint(
        workload=f"shop/db-{chance.randint(1, 3)}" if on_host else f"port{chance.randint(1, 3)}",
        target=chance.choice(PODLIKE if on_host else FIXED),
        node=chance.choice((NODE, NODE, NODE, OTHER, "")),
        driver=chance.choice(("", "openvswitch")),
        mapping=mapping,
        attached=Attachment.HOST if on_host else Attachment.TAP,
    )


def _group(chance: random.Random) -> Document:
    rules = tuple(
        Rule(side=chance.choice(tuple(Side)), family=4, group=chance.choice((*GROUPS, None)))
        for _ in range(chance.randint(0, 3))
    )
    return SecurityGroup(id=chance.choice(GROUPS), rules=rules)


def _member(chance: random.Random) -> Document:
    return Member(group=chance.choice(GROUPS), prefix=chance.choice(MEMBERS))


def _subnet(chance: random.Random) -> Document:
    name = chance.choice(tuple(SUBNETS))
    return Subnet(id=name, network="net", prefix=SUBNETS[name], internal=chance.random() < 0.7)


def _status(chance: random.Random) -> Document:
    address = chance.choice((*FIXED, *SERVICE))
    node = chance.choice((NODE, OTHER, OTHER, THIRD))
    reason = chance.choice((None, None, Reason.TAP_DOWN, Reason.NO_ROUTE, Reason.CLAIMED_TWICE))
    said = reason is None
    return AddressStatus(node=node, address=address, state=State.ACTIVE, programmed=said, announced=said, reason=reason)


def _fence(chance: random.Random) -> Document:
    return Fence(node=chance.choice((OTHER, THIRD)))


def _network(chance: random.Random) -> Document:
    return Network(id="net", dns_domain=chance.choice(("a.example", "b.example")))


def _settings(chance: random.Random) -> Document:
    return BGPSettings(
        internal_prefixes=some(chance, (Prefix("192.0.2.0/24"), Prefix("10.0.0.0/8"))),
        originate=some(chance, (Prefix("203.0.113.0/24"), Prefix("198.51.100.1/32"))),
        advertise=tuple(
            _advertised(chance, prefix) for prefix in chance.choice((ADVERTISED, some(chance, ADVERTISED)))
        ),
        node_prefixes=chance.random() < 0.5,
    )


def _advertised(chance: random.Random, prefix: Prefix) -> Advertised:
    return Advertised(
        prefix=prefix,
        kinds=chance.choice((tuple(Kind), tuple(Kind), some(chance, tuple(Kind)))),
        aggregate=chance.random() < 0.3,
    )
