# SPDX-License-Identifier: Apache-2.0
"""The mirror beside the real kube-proxy, in both of its modes."""

import os
import select
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from buoy.dataplane.proxy_mirror import KubeProxy
from buoy.lab import pod
from buoy.lab.kube_api import KubeApi
from buoy.lab.kubernetes import Plan
from buoy.lab.lab import Lab
from buoy.model.address import Address
from buoy.model.proxied import Proxying, ProxyMode
from tests.netns.dataplane.place import entered
from tests.netns.proxy.node import proxying

WITHOUT = ("agent", "buoy", "aggregation", "bird")
VIP, VIP6 = Address("203.0.113.10"), Address("2001:db8:ff::10")
PORTS = [("tcp", 80), ("udp", 53)]
FORWARDED, REFUSED = proxying(PORTS), proxying([], PORTS)
SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
SERVICE = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
    "spec": {
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "ipFamilyPolicy": "RequireDualStack",
        "ports": [
            {"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"},
        ],
    },
}  # fmt: skip
STATUS = {"status": {"loadBalancer": {"ingress": [{"ip": VIP}, {"ip": VIP6}]}}}


class Cluster:
    """A lab of one node, and a mirror that follows its kube-proxy."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.api: KubeApi = pod.api(lab)
        inside = lab.exec("node-1", "readlink", "/proc/self/ns/net").stdout.strip()
        self.path = next(str(link) for link in Path("/proc").glob("[0-9]*/ns/net") if target(link) == inside)
        with entered(self.path):
            self.mirror = KubeProxy()

    def endpoint(self, family: str, node: str, *, ready: bool) -> None:
        """Have one endpoint of this family, on this node."""
        name = f"web-{family.lower()}"
        ports = [{"name": "http", "port": 8080}, {"name": "dns", "port": 5353, "protocol": "UDP"}]
        address = "10.244.1.99" if family == "IPv4" else "fd00:10:244:1::99"
        made = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": family,
            "ports": ports,
            "endpoints": [{"addresses": [address], "nodeName": node, "conditions": {"ready": ready}}],
        }
        self.api.apply(made)

    def soon(self, wanted: Mapping[Address, Proxying]) -> dict[Address, Proxying]:
        """Follow until the two addresses are treated as wanted, or half a minute is over; return how they are."""
        deadline = time.monotonic() + 30
        with entered(self.path):
            while (seen := self.seen()) != wanted and time.monotonic() < deadline:
                select.select(self.mirror.filenos(), [], [], 0.5)
                self.mirror.disturbances()
        return seen

    def seen(self) -> dict[Address, Proxying]:
        return {address: seen for address, seen in self.mirror.proxying().items() if address in (VIP, VIP6)}


def target(link: Path) -> str:
    """Return where a link leads, empty if the process whose it is has ended."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


@pytest.fixture(scope="module", params=["nftables", "iptables"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    lab = Lab(f"kpx-{os.getpid()}-{request.param[0]}").up_kubernetes(
        Plan(nodes=1, proxy=request.param, without=WITHOUT)
    )
    try:
        made = Cluster(lab)
        assert ProxyMode(request.param) == made.mirror.mode()
        yield made
        made.mirror.close()
    finally:
        lab.down()


@pytest.fixture
def web(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """A Service with an address of each family and no endpoint; gone afterwards."""
    yield cluster.api.create(SERVICES, SERVICE)
    for path in (f"{SERVICES}/web", f"{SLICES}/web-ipv4", f"{SLICES}/web-ipv6"):
        if cluster.api.find(path):
            cluster.api.delete(path)
    assert {} == cluster.soon({})


@pytest.mark.usefixtures("web")
def test_each_state_of_a_service_is_seen(cluster: Cluster) -> None:
    def sees(wanted: dict[Address, Proxying]) -> None:
        assert wanted == cluster.soon(wanted)

    cluster.api.merge(f"{SERVICES}/web/status", STATUS)
    sees({VIP: REFUSED, VIP6: REFUSED})
    cluster.endpoint("IPv4", "node-1", ready=True)
    sees({VIP: FORWARDED, VIP6: REFUSED})
    cluster.endpoint("IPv6", "node-1", ready=True)
    sees({VIP: FORWARDED, VIP6: FORWARDED})
    cluster.endpoint("IPv4", "elsewhere", ready=True)
    sees({VIP: REFUSED, VIP6: FORWARDED})
    cluster.api.merge(f"{SERVICES}/web", {"spec": {"externalTrafficPolicy": "Cluster"}})
    sees({VIP: FORWARDED, VIP6: FORWARDED})
    cluster.endpoint("IPv6", "node-1", ready=False)
    sees({VIP: FORWARDED, VIP6: REFUSED})
    cluster.api.delete(f"{SERVICES}/web")
    sees({})


@pytest.mark.usefixtures("web")
def test_a_source_range_does_not_keep_a_port_from_being_forwarded(cluster: Cluster) -> None:
    cluster.api.merge(f"{SERVICES}/web", {"spec": {"loadBalancerSourceRanges": ["198.51.100.0/24"]}})
    cluster.api.merge(f"{SERVICES}/web/status", STATUS)
    cluster.endpoint("IPv4", "node-1", ready=True)
    wanted = {VIP: FORWARDED, VIP6: REFUSED}
    assert wanted == cluster.soon(wanted)


@pytest.mark.usefixtures("web")
def test_a_kube_proxy_that_is_killed_and_started_anew_changes_nothing(cluster: Cluster) -> None:
    cluster.api.merge(f"{SERVICES}/web/status", STATUS)
    cluster.endpoint("IPv4", "node-1", ready=True)
    wanted = {VIP: FORWARDED, VIP6: REFUSED}
    assert wanted == cluster.soon(wanted)
    cluster.lab.service("kill", "node-1", "kube-proxy")
    cluster.lab.service("start", "node-1", "kube-proxy")
    cluster.lab.wait_ready("node-1", "kube-proxy")
    cluster.endpoint("IPv6", "node-1", ready=True)
    changed: set[Address] = set()
    with entered(cluster.path):
        while cluster.seen() == wanted:
            assert select.select(cluster.mirror.filenos(), [], [], 30)[0]
            changed |= cluster.mirror.disturbances()[0]
    assert VIP not in changed
    assert {VIP: FORWARDED, VIP6: FORWARDED} == cluster.seen()


def test_who_followed_knows_what_who_looks_now_sees(cluster: Cluster) -> None:
    with entered(cluster.path):
        cluster.mirror.disturbances()
        fresh = KubeProxy()
    assert dict(fresh.proxying()) == dict(cluster.mirror.proxying())
    assert fresh.proxying()
    fresh.close()
