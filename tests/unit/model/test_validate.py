# SPDX-License-Identifier: Apache-2.0
"""What a broken client may have written, and what it is told: path, field, value, remedy."""

import msgspec
import pytest

from buoy.model import validate
from buoy.model.address import Address, Mac, Prefix
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.group import Member, Rule, SecurityGroup, Side
from buoy.model.network import Network, Subnet
from buoy.model.peer import Action, Bfd, BGPSettings, Filter, FilterRule, Peer, Tagged
from buoy.model.pool import Expression, Operator, Pool, Range, Registry, Selector
from buoy.model.service_ip import Endpoint, PortMapping, ServiceIP
from buoy.model.workload import AddressPair, FixedIP, Workload

PORT = Workload(id="p", node="n", interface="tap1", mac=Mac("fa:16:3e:00:00:01"), network="net")
V4 = Address("192.0.2.7")
SERVICE = ServiceIP(address=V4)
PEER = Peer(name="tor", address=V4, asn=64512)
SUBNET = Subnet(id="s", network="n", prefix=Prefix("192.0.2.0/24"))
TCP22 = PortMapping(protocol="tcp", first=22, last=22, target_first=22)


def changed(document: Document, **fields: object) -> Document:
    return msgspec.structs.replace(document, **fields)


def rule(**fields: object) -> Document:
    plain = Rule(side=Side.INGRESS, family=4)
    return SecurityGroup(id="red", rules=(plain, msgspec.structs.replace(plain, **fields)))


def to(target: str = "192.0.2.1", **fields: object) -> Endpoint:
    return msgspec.structs.replace(Endpoint(workload="p", target=Address(target)), **fields)


def ports(**fields: object) -> Document:
    return changed(SERVICE, endpoints=(to(mapping=msgspec.structs.replace(TCP22, **fields)),))


def filtering(**fields: object) -> Document:
    plain = FilterRule(action=Action.ACCEPT, prefix=Prefix("192.0.2.0/24"))
    return Filter(name="out", rules=(msgspec.structs.replace(plain, **fields),))


def pool(**fields: object) -> Document:
    return msgspec.structs.replace(Pool(name="public", prefixes=(Prefix("198.51.100.0/24"),)), **fields)


def tagged(*communities: str) -> Document:
    return BGPSettings(communities=(Tagged(prefix=Prefix("198.51.100.0/24"), communities=communities),))


def between(first: str, last: str) -> Document:
    return pool(ranges=(Range(first=Address(first), last=Address(last)),))


def selecting(key: str, operator: Operator, *values: str) -> Document:
    return pool(services=(Selector(expressions=(Expression(key=key, operator=operator, values=values),)),))


def at(address: str) -> Document:
    return changed(PORT, fixed_ips=(FixedIP(address=Address(address), subnet="s"),))


@pytest.mark.parametrize(
    "document",
    [
        PORT,
        at("192.0.2.1"),
        at("2001:db8::1"),
        changed(PORT, pairs=(AddressPair(prefix=Prefix("192.0.2.0/24"), mac=Mac("fa:16:3e:00:00:02")),)),
        changed(PORT, interface="tap1234567-8.90"),
        changed(PORT, groups=("a" * 64, "default_1-x")),
        changed(SERVICE, endpoints=(to(), to("192.0.2.2", node="n-1.example"))),
        ports(first=1, last=65535, target_first=1),
        rule(prefix=Prefix("192.0.2.1/32"), protocol=6, first=0, last=65535),
        rule(group="blue"),
        changed(PEER, bfd=Bfd(), local_asn=2**32 - 1, multihop=255, password="a b!", nodes=("n1", "n2")),
        changed(SUBNET, gateway=V4),
        filtering(low=24, high=32),
        filtering(high=30),
        BGPSettings(),
        BGPSettings(password_from="mesh"),
        changed(PEER, password_from="bgp-secrets/tor.1"),
        tagged("0:65535", "4294967295:0:1"),
        pool(quota=0, hold_down=0.0, remember=0.0, namespaces=("dev",), aliases=("default-domain:dev:vn:pool",)),
        pool(prefixes=(Prefix("169.254.192.0/18"),), registry=Registry.NEUTRON),
        between("198.51.100.7", "198.51.100.7"),
        between("2001:db8::1", "2001:db8::ffff"),
        selecting("tier", Operator.IN, "web"),
        selecting("tier", Operator.DOES_NOT_EXIST),
    ],
)
def test_what_can_be_passes(document: Document) -> None:
    validate.check("a/b", document)


@pytest.mark.parametrize(
    ("document", "field", "remedy"),
    [
        (changed(SERVICE, address="192.0.2.07"), ".address", "give one IPv4 or IPv6 address"),
        (changed(SERVICE, address="a\0"), ".address", "give one IPv4 or IPv6 address"),
        (changed(SERVICE, address="2001:DB8::1"), ".address", "write 2001:db8::1"),
        (changed(SERVICE, endpoints=(to(), to("2001:0::1"))), ".endpoints[1].target", "write 2001::1"),
        (at("192.0.2.1/32"), ".fixed_ips[0].address", "give one IPv4 or IPv6 address"),
        *(
            (at(bad), ".fixed_ips[0].address", "give a unicast address")
            for bad in ("0.0.0.0", "127.0.0.1", "224.0.0.5")
        ),
        *((at(bad), ".fixed_ips[0].address", "give a unicast address") for bad in ("255.255.255.255", "169.254.1.1")),
        *((at(bad), ".fixed_ips[0].address", "give a unicast address") for bad in ("::", "::1", "ff02::1", "fe80::1")),
        (changed(SERVICE, address="127.0.0.1"), ".address", "give a unicast address"),
        (changed(SERVICE, endpoints=(to("127.0.0.1"),)), ".endpoints[0].target", "give a unicast address"),
        (changed(SERVICE, endpoints=(to("2001:db8::1"),)), ".endpoints[0].target", "give the family of 192.0.2.7"),
        (changed(SERVICE, endpoints=(to(), to(mapping=TCP22))), ".endpoints", "map every endpoint or none"),
        (ports(protocol="icmp"), ".endpoints[0].mapping.protocol", "give one of sctp, tcp, udp"),
        (ports(first=0), ".endpoints[0].mapping.first", "give a number from 1 to 65535"),
        (ports(last=21), ".endpoints[0].mapping.last", "give a number from 22 to 65535"),
        (ports(last=23, target_first=65535), ".endpoints[0].mapping.target_first", "give a number from 1 to 65534"),
        (
            changed(
                SERVICE,
                endpoints=(
                    to(mapping=msgspec.structs.replace(TCP22, first=1, last=65535, target_first=1)),
                    to(mapping=TCP22),
                ),
            ),
            ".endpoints",
            "map at most 65535 ports of one service IP",
        ),
        *(
            (changed(PEER, password_from=bad), ".password_from", "name a file")
            for bad in ("../tor", "a/../b", "/etc/shadow", "a/b/c", "a/", "a b")
        ),
        (changed(PEER, allow_local_as=256), ".allow_local_as", "give a number from 0 to 255"),
        (changed(PEER, password="a", password_from="b"), ".password_from", "give password or password_from"),
        (BGPSettings(password="a", password_from="b"), ".password_from", "give password or password_from"),
        (tagged("1:2", "1:65536"), ".communities[0].communities[1]", "give aa:nn up to 65535"),
        (tagged("1:2:4294967296"), ".communities[0].communities[0]", "give aa:nn up to 65535, or aa:nn:mm"),
        (tagged("01:2"), ".communities[0].communities[0]", "give aa:nn"),
        (tagged("1:2:3:4"), ".communities[0].communities[0]", "give aa:nn"),
        (changed(PORT, mac="FA:16:3E:00:00:01"), ".mac", "write fa:16:3e:00:00:01"),
        (changed(PORT, interface="tap1/../../x"), ".interface", "use 1 to 15 letters"),
        (changed(PORT, interface="a" * 16), ".interface", "use 1 to 15 letters"),
        (changed(PORT, interface=""), ".interface", "use 1 to 15 letters"),
        (changed(PORT, interface=".."), ".interface", "use 1 to 15 letters"),
        (changed(PORT, id="../x"), ".id", "use up to 128 letters"),
        (changed(PORT, node=""), ".node", "use up to 128 letters"),
        (changed(PORT, groups=("ok", "a;b")), ".groups[1]", "use 1 to 64 letters"),
        (changed(SERVICE, endpoints=(to(node="a/b"),)), ".endpoints[0].node", "use letters, digits"),
        (Member(group="a b", prefix=Prefix("192.0.2.0/24")), ".group", "use 1 to 64 letters"),
        (Member(group="red", prefix=Prefix("192.0.2.7")), ".prefix", "write 192.0.2.7/32"),
        (Member(group="red", prefix=Prefix("192.0.2.7/24")), ".prefix", "give a network such as"),
        (Member(group="red", prefix=Prefix("2001:DB8::1/128")), ".prefix", "write 2001:db8::1"),
        (Pool(name="x\n", prefixes=()), ".name", "use up to 128 letters"),
        (rule(family=5), ".rules[1].family", "give 4 or 6"),
        (rule(protocol=256), ".rules[1].protocol", "give a number from 0 to 255"),
        (rule(first=-1), ".rules[1].first", "give a number from 0 to 65535"),
        (rule(last=65536), ".rules[1].last", "give a number from 0 to 65535"),
        (rule(group="a}"), ".rules[1].group", "use 1 to 64 letters"),
        (rule(group="blue", prefix=Prefix("192.0.2.0/24")), ".rules[1].group", "give a prefix or a group, not both"),
        (rule(prefix=Prefix("2001:db8::/32")), ".rules[1].prefix", "give a prefix of family 4"),
        (Network(id="n", mtu=67), ".mtu", "give a number from 68 to 65535"),
        (changed(SUBNET, gateway=Address("2001:db8::1")), ".gateway", "give the family of 192.0.2.0/24"),
        (changed(PEER, asn=0), ".asn", "give a number from 1 to 4294967295"),
        (changed(PEER, multihop=0), ".multihop", "give a number from 1 to 255"),
        (changed(PEER, password='a";'), ".password", 'use printable characters without "'),
        (changed(PEER, password="a\nb"), ".password", 'use printable characters without "'),
        (changed(PEER, nodes=("a", "")), ".nodes[1]", "use up to 128 letters"),
        (changed(PEER, bfd=Bfd(interval=1)), ".bfd.interval", "give a number from 10 to 60000"),
        (BGPSettings(cluster_id=Address("x")), ".cluster_id", "give one IPv4 or IPv6 address"),
        (BGPSettings(listen_port=0), ".listen_port", "give a number from 1 to 65535"),
        (pool(prefixes=(Prefix("224.0.0.0/24"),)), ".prefixes[0]", "give a unicast address"),
        (pool(hold_down=-1.0), ".hold_down", "give seconds from 0 to 31536000"),
        (pool(remember=float("inf")), ".remember", "give seconds from 0 to 31536000"),
        (pool(quota=-1), ".quota", "give a number from 0 on"),
        (pool(namespaces=("dev", "")), ".namespaces[1]", "give the name of a namespace"),
        (between("127.0.0.1", "198.51.100.9"), ".ranges[0].first", "give a unicast address"),
        (between("198.51.100.1", "224.0.0.1"), ".ranges[0].last", "give a unicast address"),
        (between("198.51.100.1", "2001:db8::1"), ".ranges[0].last", "give the family of 198.51.100.1"),
        (between("198.51.100.10", "198.51.100.9"), ".ranges[0].last", "give 198.51.100.10 or a higher address"),
        (selecting("", Operator.EXISTS), ".services[0].expressions[0].key", "give the key of a label"),
        (selecting("tier", Operator.NOT_IN), ".services[0].expressions[0].values", "give at least one value"),
        (selecting("tier", Operator.EXISTS, "web"), ".services[0].expressions[0].values", "leave the values out"),
        (filtering(low=8), ".rules[0].low", "give a number from 24 to 32"),
        (filtering(low=28, high=27), ".rules[0].high", "give a number from 28 to 32"),
        (filtering(prefix=Prefix("2001:db8::/32"), high=129), ".rules[0].high", "give a number from 32 to 128"),
    ],
)
def test_what_cannot_be_is_refused_with_field_and_remedy(document: Document, field: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        validate.check("a/b", document)
    assert f"a/b{field}" == refused.value.field
    assert refused.value.remedy.startswith(remedy)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as refused:
        validate.check("peers/tor", changed(PEER, password='secret"'))
    assert "secret" not in str(refused.value)
