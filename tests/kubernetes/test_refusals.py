# SPDX-License-Identifier: Apache-2.0
"""What the API server itself refuses, by the field, and with what to do."""

import json
import subprocess
from typing import Any

import pytest

from tests.store.api.kube import KubeServer

OURS, CALICO, METALLB = "buoy.dev/v1", "projectcalico.org/v3", "metallb.io/v1beta1"


def apply(kube: KubeServer, version: str, kind: str, name: str, spec: dict[str, Any]) -> str:
    """Apply an object and return what kubectl says of it."""
    namespace = {"namespace": "buoy-system"} if version == METALLB else {}
    made = {"apiVersion": version, "kind": kind, "metadata": {"name": name, **namespace}, "spec": spec}
    try:
        kube.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(made))
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    return ""


ADDRESS = {"address": "192.0.2.254", "asn": 1}
RULE = {"action": "accept", "prefix": "10.0.0.0/8"}
PORTS = {"protocol": "tcp", "first": 80, "last": 81}
PEER = {"peerIP": "192.0.2.254", "asNumber": 1}


@pytest.mark.parametrize(
    ("what", "spec", "field", "remedy"),
    [
        ("Pool p", {"prefixes": ["192.0.2.1/24"]}, "spec.prefixes[0]", "give a network without host bits"),
        ("Pool p", {"prefixes": ["2001:DB8::/64"]}, "spec.prefixes[0]", "give a network without host bits"),
        ("Pool p", {"prefixes": ["127.0.0.0/8"]}, "spec", "give prefixes of unicast addresses"),
        ("Pool p", {"ranges": [{"first": "fe80::1", "last": "fe80::9"}]}, "ranges[0].first", "give a unicast address"),
        ("ServiceIP 127.0.0.1", {"address": "127.0.0.1"}, "spec.address", "give a unicast address"),
        ("Pool p", {}, "spec", "give addresses: prefixes, ranges or both"),
        ("Pool p", {"ranges": [{"first": "192.0.2.1", "last": "::1"}]}, "spec.ranges[0]", "of one family"),
        ("Pool p", {"prefixes": ["192.0.2.0/24"], "quota": -1}, "spec.quota", "greater than or equal to 0"),
        ("Pool p", {"prefixes": ["192.0.2.0/24"], "direction": "up"}, "spec.direction", '"both", "ingress", "egress"'),
        ("Pool p", {"prefixs": ["192.0.2.0/24"]}, "spec.prefixs", "unknown field"),
        ("ServiceIP 192.0.2.7", {"address": "192.0.2.8"}, "", "name it after its address"),
        ("ServiceIP 2001-db8--", {"address": "2001:db8::"}, "metadata.name", "RFC 1123"),
        ("ServiceIP 192.0.2.7", {"address": "192.0.2.7", "endpoints": [{"target": "x"}]}, "workload", "Required"),
        ("BGPSettings other", {}, "", "name it default"),
        ("BGPSettings default", {"asn": 4294967296}, "spec.asn", "less than or equal to 4294967295"),
        ("BGPSettings default", {"asn": 23456}, "spec.asn", "other than 23456"),
        ("Peer p", ADDRESS | {"asn": 23456}, "spec.asn", "other than 23456"),
        ("Peer p", ADDRESS | {"localAsn": 23456}, "spec.localAsn", "other than 23456"),
        ("Peer p", ADDRESS | {"address": "192.0.2.254/24"}, "spec.address", "give one address"),
        ("Peer p", ADDRESS | {"port": 0}, "spec.port", "greater than or equal to 1"),
        ("Peer p", ADDRESS | {"address": "224.0.0.5"}, "spec.address", "give the address of another router"),
        ("Peer p", ADDRESS | {"address": "fe80::1"}, "spec.address", "give the address of another router"),
        ("Peer p", ADDRESS | {"holdTime": 2}, "spec.holdTime", "give 0 (never) or 3 to 65535"),
        ("Peer p", ADDRESS | {"keepalive": 46}, "spec", "keepalive must not be greater than half of holdTime"),
        ("Peer p", ADDRESS | {"source": "2001:db8::1"}, "spec", "give a source of the family of address"),
        ("Peer p", ADDRESS | {"gracefulRestartTime": 4096}, "spec.gracefulRestartTime", "less than or equal to 4095"),
        ("BGPSettings default", {"clusterId": "2001:db8::1"}, "spec.clusterId", "give one IPv4 address"),
        ("Filter f", {"rules": [RULE | {"low": 7}]}, "spec.rules[0]", "low must not be shorter than the prefix"),
        ("Filter f", {"rules": [RULE | {"high": 33}]}, "spec.rules[0]", "nor longer than an address"),
        ("Pool p", {"prefixes": ["192.0.2.0/24"], "namespaces": [""]}, "spec.namespaces[0]", "at least 1 chars"),
        (
            "ServiceIP 192.0.2.7",
            {"address": "192.0.2.7", "mappings": [PORTS | {"targetFirst": 65535}]},
            "spec.mappings[0]",
            "targetFirst leaves no room for so many ports",
        ),
        (
            "AddressStatus 192.0.2.7.node-2",
            {"address": "192.0.2.7", "node": "node-1", "state": "active"},
            "",
            "name it after its address and its node",
        ),
    ],
)
def test_ours(kube: KubeServer, what: str, spec: dict[str, Any], field: str, remedy: str) -> None:
    kind, name = what.split()
    said = apply(kube, OURS, kind, name, spec)
    assert (True, True) == (field in said, remedy in said), said


@pytest.mark.parametrize(
    ("kind", "spec", "field", "remedy"),
    [
        ("BGPConfiguration", {"asNumber": 0}, "spec.asNumber", "give an AS number"),
        ("BGPConfiguration", {"asNumber": "1.2.3"}, "spec.asNumber", "give an AS number"),
        ("BGPConfiguration", {"asNumber": 23456}, "spec.asNumber", "other than 23456"),
        ("BGPPeer", PEER | {"asNumber": "0.23456"}, "spec.asNumber", "other than 23456"),
        (
            "BGPConfiguration",
            {"serviceClusterIPs": [{"cidr": "10.0.0/24"}]},
            "serviceClusterIPs[0].cidr",
            "give a network",
        ),
        ("BGPConfiguration", {"serviceExternalIPs": [{"cidr": "x.x.x.x/16"}]}, "serviceExternalIPs[0].cidr", "network"),
        ("BGPConfiguration", {"serviceLoadBalancerIP": []}, "serviceLoadBalancerIP", "unknown field"),
        ("BGPConfiguration", {"serviceLoadBalancerAggregation": "Off"}, "Aggregation", '"Enabled", "Disabled"'),
        ("BGPConfiguration", {"listenPort": 70000}, "spec.listenPort", "less than or equal to 65535"),
        ("BGPPeer", PEER | {"peerIP": "192.0.2.300"}, "spec.peerIP", "give an address, perhaps with a port"),
        ("BGPPeer", PEER | {"peerIP": "192.0.2.1:0"}, "spec.peerIP", "give an address, perhaps with a port"),
        ("BGPPeer", PEER | {"peerIP": "192.0.2.1:65536"}, "spec.peerIP", "give an address, perhaps with a port"),
        ("BGPPeer", PEER | {"peerIP": "192.0.2.300:179"}, "spec.peerIP", "give an address, perhaps with a port"),
        ("BGPPeer", PEER | {"peerIP": "[ff02::1]:179"}, "spec.peerIP", "give the address of another router"),
        ("BGPPeer", PEER | {"asNumber": "4294967296"}, "spec.asNumber", "give an AS number"),
        ("BGPPeer", PEER | {"asNumber": "1.65536"}, "spec.asNumber", "give an AS number"),
        ("BGPConfiguration", {"communities": [{"name": "a", "value": "1:65536"}]}, "communities[0].value", "match"),
        ("BGPPeer", {"asNumber": 1}, "spec", "give either peerIP or peerSelector"),
        ("BGPPeer", {"peerIP": "192.0.2.1"}, "spec", "give asNumber"),
        ("BGPPeer", PEER | {"node": "a", "nodeSelector": "all()"}, "spec", "give node or nodeSelector, not both"),
        ("BGPPeer", PEER | {"keepaliveTime": "soon"}, "spec.keepaliveTime", "should match"),
        ("BGPFilter", {"exportV4": [{"action": "Deny"}]}, "spec.exportV4[0].action", '"Accept", "Reject"'),
        ("BGPFilter", {"exportV4": [{"action": "Accept", "cidr": "10"}]}, "exportV4[0].cidr", "give a network"),
        ("BGPFilter", {"importV4": [{"action": "Accept", "cidr": "2001:db8::/32"}]}, "spec", "of IPv4 in importV4"),
        (
            "BGPFilter",
            {"exportV4": [{"action": "Accept", "cidr": "10.0.0.0/8", "prefixLength": {"min": 24, "max": 16}}]},
            "spec.exportV4[0].prefixLength",
            "min must not be greater than max",
        ),
    ],
)
def test_calicos(kube: KubeServer, kind: str, spec: dict[str, Any], field: str, remedy: str) -> None:
    said = apply(kube, CALICO, kind, "default", spec)
    assert (True, True) == (field in said, remedy in said), said


@pytest.mark.parametrize(
    ("spec", "field", "remedy"),
    [
        ({"addresses": ["x.x.x.x/16"]}, "spec.addresses[0]", "give a network such as 192.0.2.0/24, or a range"),
        ({"addresses": ["192.0.2.1-192.0.2"]}, "spec.addresses[0]", "give a network such as 192.0.2.0/24, or a range"),
        ({"addresses": []}, "spec.addresses", "at least 1"),
        ({"adresses": ["192.0.2.0/24"]}, "spec.adresses", "unknown field"),
    ],
)
def test_metallbs(kube: KubeServer, spec: dict[str, Any], field: str, remedy: str) -> None:
    said = apply(kube, METALLB, "IPAddressPool", "default", spec)
    assert (True, True) == (field in said, remedy in said), said


@pytest.mark.parametrize(
    ("version", "kind", "name", "spec"),
    [
        (OURS, "Pool", "p", {"ranges": [{"first": "192.0.2.1", "last": "192.0.2.9"}], "holdDown": 0.5, "quota": 0}),
        (OURS, "Pool", "p", {"prefixes": ["2001:db8::/64"], "namespaceSelectors": [{"matchLabels": {"a": "b"}}]}),
        (OURS, "ServiceIP", "192.0.2.7", {"address": "192.0.2.7", "mode": "proxied"}),
        (OURS, "ServiceIP", "2001-db8--0", {"address": "2001:db8::"}),
        (OURS, "ServiceIP", "2001-db8--7", {"address": "2001:db8::7", "released": "2026-11-21T00:00:00Z"}),
        (
            OURS,
            "BGPSettings",
            "default",
            {"mesh": False, "advertise": [{"prefix": "10.0.0.0/8", "kinds": ["cluster"]}]},
        ),
        (OURS, "Peer", "tor", ADDRESS | {"bfd": {"interval": 100}}),
        (CALICO, "BGPConfiguration", "default", {"asNumber": "1.10", "serviceExternalIPs": [{"cidr": "192.0.2.7"}]}),
        (CALICO, "BGPPeer", "tor", PEER | {"asNumber": "4294967295"}),
        (CALICO, "BGPPeer", "tor", PEER | {"asNumber": "65535.65535", "peerIP": "192.0.2.1:65535"}),
        (OURS, "Peer", "tor", ADDRESS | {"holdTime": 0, "source": "192.0.2.1", "password": "x" * 80}),
        (OURS, "BGPSettings", "default", {"communities": [{"prefix": "10.0.0.0/8", "communities": ["65535:0"]}]}),
        (CALICO, "BGPConfiguration", "default", {"asNumber": 64512, "communities": [{"name": "a", "value": "1:2"}]}),
        (CALICO, "BGPPeer", "tor", PEER | {"peerIP": "[2001:db8::1]:1179", "keepaliveTime": "1m30s"}),
        (CALICO, "BGPPeer", "tor", {"peerSelector": "has(rr)", "nodeSelector": "all()", "asNumber": 1}),
        (
            CALICO,
            "BGPFilter",
            "f",
            {"exportV6": [{"action": "Reject", "cidr": "2001:db8::/32", "matchOperator": "In"}]},
        ),
        (
            METALLB,
            "IPAddressPool",
            "p",
            {"addresses": ["192.0.2.0/24", "198.51.100.1 - 198.51.100.9", "2001:db8::/64"]},
        ),
    ],
)
def test_what_can_be_is_taken(kube: KubeServer, version: str, kind: str, name: str, spec: dict[str, Any]) -> None:
    assert "" == apply(kube, version, kind, name, spec)


def test_people_see_columns(kube: KubeServer) -> None:
    spec = {"prefixes": ["192.0.2.0/24"]}
    pool = {"apiVersion": OURS, "kind": "Pool", "metadata": {"name": "columns"}, "spec": spec}
    kube.kubectl("apply", "-f", "-", stdin=json.dumps(pool))
    said = json.dumps({"status": {"addresses": "192.0.2.0/24", "used": 7}})
    kube.kubectl("patch", "pools.buoy.dev", "columns", "--subresource=status", "--type=merge", "-p", said)
    header, row = kube.kubectl("get", "pools.buoy.dev", "columns").splitlines()
    assert ["NAME", "ADDRESSES", "USED"] == header.split()[:3]
    assert ["columns", "192.0.2.0/24", "7"] == row.split()[:3]
