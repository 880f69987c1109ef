# SPDX-License-Identifier: Apache-2.0
"""Services as service IPs: what a person does to them, and what the documents then say."""

from typing import Any

import pytest

from buoy.kubernetes.objects import EndpointSlice, Service
from buoy.kubernetes.resources import NODES, SERVICES, SLICES
from buoy.kubernetes.translate import Translation
from buoy.model.address import Address
from buoy.model.proxied import Backing, Kind, ProxyPort
from buoy.model.service_ip import Mode, Owner, ServiceIP
from buoy.store.api_names import ObjectName, Resource
from tests.unit.kubernetes.making import DRAINING, NOT_READY, READY, WEB, endpoint, endpoints, node, service, stored

SERVICE_IPS = Resource("buoy.dev", "v1", "serviceips", namespaced=False)
SIX: dict[str, Any] = {"clusterIPs": ["10.96.0.10", "2001:db8:96::10"]}


class Cluster:
    """A translation that hears of objects one by one."""

    def __init__(self) -> None:
        self.translation = Translation()
        for name in ("node-1", "node-2"):
            self.translation.take(NODES, {ObjectName("", name): node(name)})

    def has(self, *objects: Service | EndpointSlice) -> None:
        for found in objects:
            resource = SERVICES if isinstance(found, Service) else SLICES
            self.translation.take(resource, {ObjectName(found.metadata.namespace, found.metadata.name): found})

    def loses(self, resource: Resource, *names: ObjectName) -> None:
        self.translation.take(resource, dict.fromkeys(names))

    def backings(self, address: str = "192.0.2.7") -> tuple[Backing, ...]:
        found = self.translation.documents.get(f"service-ips/{address}")
        return found.backings if isinstance(found, ServiceIP) else ()

    def ready(self, address: str = "192.0.2.7") -> tuple[str, ...]:
        (found,) = self.backings(address)
        return found.ready


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    made.has(service(ingress=[{"ip": "192.0.2.7"}]), endpoints(endpoint("node-1", READY)))
    return made


def test_a_service_is_one_document_for_each_address(cluster: Cluster) -> None:
    expected = ServiceIP(
        address=Address("192.0.2.7"),
        mode=Mode.PROXIED,
        backings=(
            Backing(service="shop/web", kind=Kind.LOAD_BALANCER, ports=(ProxyPort("tcp", 80),), ready=("node-1",)),
        ),
    )
    assert expected == cluster.translation.documents["service-ips/192.0.2.7"]
    assert Kind.CLUSTER == cluster.backings("10.96.0.10")[0].kind


def test_a_service_that_goes_takes_its_documents_along(cluster: Cluster) -> None:
    cluster.loses(SERVICES, WEB)
    assert ["eligibility/node-1", "eligibility/node-2"] == sorted(cluster.translation.documents)


def test_an_address_that_leaves_the_status_leaves_the_documents(cluster: Cluster) -> None:
    cluster.has(service())
    assert "service-ips/192.0.2.7" not in cluster.translation.documents


def test_a_slice_that_is_deleted_takes_its_endpoints_along(cluster: Cluster) -> None:
    cluster.has(endpoints(endpoint("node-2", READY), name="web-2"))
    cluster.loses(SLICES, ObjectName("shop", "web-1"))
    assert ("node-2",) == cluster.ready()


def test_several_slices_are_one_service(cluster: Cluster) -> None:
    cluster.has(endpoints(endpoint("node-2", READY), name="web-2"))
    assert ("node-1", "node-2") == cluster.ready()


def test_an_endpoint_that_moves_from_slice_to_slice_stays(cluster: Cluster) -> None:
    cluster.has(endpoints(endpoint("node-1", READY), name="web-2"))
    cluster.has(endpoints())
    assert ("node-1",) == cluster.ready()


def test_a_slice_that_changes_hands_touches_both_services(cluster: Cluster) -> None:
    cluster.has(service(ObjectName("shop", "api"), clusterIPs=["10.96.0.11"]))
    cluster.has(endpoints(endpoint("node-1", READY), of="api"))
    assert () == cluster.ready()
    assert ("node-1",) == cluster.ready("10.96.0.11")


def test_slices_may_come_before_their_service() -> None:
    cluster = Cluster()
    cluster.has(endpoints(endpoint("node-2", READY)), service())
    assert ("node-2",) == cluster.ready("10.96.0.10")


def test_a_slice_of_a_namesake_in_another_namespace_is_another_services(cluster: Cluster) -> None:
    cluster.has(endpoints(endpoint("node-2", READY), namespace="other"))
    assert ("node-1",) == cluster.ready()


def test_each_family_has_its_own_endpoints(cluster: Cluster) -> None:
    cluster.has(service(**SIX), endpoints(endpoint("node-2", READY), name="web-6", family="IPv6"))
    assert ("node-1",) == cluster.ready("10.96.0.10")
    assert ("node-2",) == cluster.ready("2001:db8:96::10")


def test_names_are_no_addresses(cluster: Cluster) -> None:
    cluster.has(endpoints(endpoint("node-2", READY), name="web-n", family="FQDN"))
    assert ("node-1",) == cluster.ready()


def test_readiness_is_followed(cluster: Cluster) -> None:
    cluster.has(endpoints(endpoint("node-1", DRAINING), endpoint("node-2", NOT_READY)))
    (found,) = cluster.backings()
    assert ((), ("node-1",)) == (found.ready, found.draining)


def test_a_service_may_begin_to_publish_what_is_not_ready(cluster: Cluster) -> None:
    cluster.has(endpoints(endpoint("node-1", {"ready": True, "terminating": True})))
    assert () == cluster.ready()
    cluster.has(service(ingress=[{"ip": "192.0.2.7"}], publishNotReadyAddresses=True))
    assert ("node-1",) == cluster.ready()


def test_an_endpoint_on_a_node_that_is_deleted_is_elsewhere_until_it_is_back(cluster: Cluster) -> None:
    cluster.loses(NODES, ObjectName("", "node-1"))
    assert ((), True) == (cluster.ready(), cluster.backings()[0].elsewhere)
    cluster.translation.take(NODES, {ObjectName("", "node-1"): node("node-1")})
    assert (("node-1",), False) == (cluster.ready(), cluster.backings()[0].elsewhere)


def test_services_that_share_an_address_stand_in_the_order_of_their_names(cluster: Cluster) -> None:
    cluster.has(service(ObjectName("shop", "api"), [{"ip": "192.0.2.7"}], clusterIPs=["10.96.0.11"]))
    assert ["shop/api", "shop/web"] == [backing.service for backing in cluster.backings()]
    cluster.loses(SERVICES, WEB)
    assert ["shop/api"] == [backing.service for backing in cluster.backings()]


def test_a_claim_and_its_service_are_one_document(cluster: Cluster) -> None:
    claim = ServiceIP(address=Address("192.0.2.7"), mode=Mode.PROXIED, pool="public", sharing="key")
    cluster.translation.take(SERVICE_IPS, {ObjectName("", "192.0.2.7"): stored(claim, 17)})
    found = cluster.translation.documents["service-ips/192.0.2.7"]
    assert isinstance(found, ServiceIP)
    assert ("public", "key", ("node-1",)) == (found.pool, found.sharing, found.backings[0].ready)
    assert 17 == cluster.translation.revisions["service-ips/192.0.2.7"]


def test_a_claim_stays_when_its_service_goes(cluster: Cluster) -> None:
    claim = ServiceIP(address=Address("192.0.2.7"), mode=Mode.PROXIED, pool="public")
    cluster.translation.take(SERVICE_IPS, {ObjectName("", "192.0.2.7"): stored(claim)})
    cluster.loses(SERVICES, WEB)
    assert claim == cluster.translation.documents["service-ips/192.0.2.7"]
    cluster.loses(SERVICE_IPS, ObjectName("", "192.0.2.7"))
    assert "service-ips/192.0.2.7" not in cluster.translation.documents
    assert "service-ips/192.0.2.7" not in cluster.translation.revisions


def test_a_service_takes_no_address_that_a_pod_has(cluster: Cluster) -> None:
    claim = ServiceIP(address=Address("192.0.2.7"), owners=(Owner(kind="Pod", namespace="shop", name="vm"),))
    cluster.translation.take(SERVICE_IPS, {ObjectName("", "192.0.2.7"): stored(claim)})
    assert claim == cluster.translation.documents["service-ips/192.0.2.7"]


def test_an_external_ip_that_buoy_gave_is_announced_as_its_pool_is(cluster: Cluster) -> None:
    cluster.has(service(externalIPs=["192.0.2.9"]))
    assert [Kind.EXTERNAL] == [backing.kind for backing in cluster.backings("192.0.2.9")]
    owner = Owner(kind="Service", namespace="shop", name="web")
    claim = ServiceIP(address=Address("192.0.2.9"), mode=Mode.PROXIED, pool="public", owners=(owner,))
    cluster.translation.take(SERVICE_IPS, {ObjectName("", "192.0.2.9"): stored(claim)})
    assert [Kind.EXTERNAL, Kind.LOAD_BALANCER] == [backing.kind for backing in cluster.backings("192.0.2.9")]


def test_an_external_ip_that_buoy_gave_to_another_is_only_what_it_says(cluster: Cluster) -> None:
    cluster.has(service(externalIPs=["192.0.2.9"]))
    owner = Owner(kind="Service", namespace="shop", name="api")
    claim = ServiceIP(address=Address("192.0.2.9"), mode=Mode.PROXIED, pool="public", owners=(owner,))
    cluster.translation.take(SERVICE_IPS, {ObjectName("", "192.0.2.9"): stored(claim)})
    assert [Kind.EXTERNAL] == [backing.kind for backing in cluster.backings("192.0.2.9")]


def test_an_address_without_a_claim_has_no_revision(cluster: Cluster) -> None:
    assert {} == cluster.translation.revisions


def test_an_address_that_can_be_nobodys_is_told_and_does_not_become_a_document(cluster: Cluster) -> None:
    cluster.has(service(externalIPs=["127.0.0.1"]))
    assert "service-ips/127.0.0.1" not in cluster.translation.documents
    assert ["service-ips/127.0.0.1"] == list(cluster.translation.broken)
    cluster.has(service())
    assert {} == cluster.translation.broken


def test_what_is_no_address_is_noted_at_its_service(cluster: Cluster) -> None:
    cluster.has(service(externalIPs=["192.0.2"]))
    assert ["services/shop/web"] == list(cluster.translation.notices)


PORTS = [{"port": 80, "name": "http"}, {"port": 9090, "name": "metrics"}]


def test_a_port_that_no_endpoint_has_is_not_waited_for(cluster: Cluster) -> None:
    web = service(ingress=[{"ip": "192.0.2.7"}], ports=PORTS)
    cluster.has(web, endpoints(endpoint("node-1", READY), ports=[{"name": "http", "port": 8080}]))
    (found,) = cluster.backings()
    assert ((ProxyPort("tcp", 80),), (ProxyPort("tcp", 9090),)) == (found.ports, found.unserved)
    metrics = endpoints(endpoint("node-2", READY), name="web-2", ports=[{"name": "metrics", "port": 9090}])
    cluster.has(metrics)
    (found,) = cluster.backings()
    assert ((ProxyPort("tcp", 80), ProxyPort("tcp", 9090)), ()) == (found.ports, found.unserved)


def test_a_port_that_only_endpoints_have_which_are_not_ready_is_not_waited_for(cluster: Cluster) -> None:
    http, both = [{"name": "http"}], [{"name": "http"}, {"name": "metrics"}]
    cluster.has(service(ingress=[{"ip": "192.0.2.7"}], ports=PORTS), endpoints(endpoint("node-1", READY), ports=http))
    cluster.has(endpoints(endpoint("node-2", NOT_READY), name="web-2", ports=both))
    assert (ProxyPort("tcp", 9090),) == cluster.backings()[0].unserved
    cluster.has(endpoints(endpoint("node-2", DRAINING), name="web-2", ports=both))
    assert () == cluster.backings()[0].unserved
