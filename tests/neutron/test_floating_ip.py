# SPDX-License-Identifier: Apache-2.0
"""Floating IPs under plain ML2, as in the document: from the API to the store, and from a node's report back."""

import sqlite3
from typing import Any

import pytest

from buoy.model.pool import Direction
from buoy.model.service_ip import Endpoint, PortMapping, ServiceIP
from buoy.model.status import State
from tests.neutron.cloud import Cloud, Refusal, eventually
from tests.neutron.story import Tenant


@pytest.fixture(scope="module")
def tenant(cloud: Cloud) -> Tenant:
    """A tenant network behind a router."""
    return Tenant(cloud, 61)


def claim(cloud: Cloud, fip: dict[str, Any]) -> ServiceIP | None:
    """Return the claim of a floating IP."""
    document = cloud.document(f"service-ips/{fip['floating_ip_address']}")
    assert document is None or isinstance(document, ServiceIP)
    return document


def endpoints(cloud: Cloud, fip: dict[str, Any]) -> tuple[Endpoint, ...] | None:
    """Return where a claim leads."""
    found = claim(cloud, fip)
    return None if found is None else found.endpoints


def status(cloud: Cloud, fip: dict[str, Any]) -> str:
    """Return the status Neutron shows."""
    return str(cloud.show("floatingip", fip["id"])["status"])


def leads_to(port: dict[str, Any], node: str = "compute-1", index: int = 0) -> tuple[Endpoint, ...]:
    """Return the endpoints of a claim for a port's fixed IP."""
    return (Endpoint(workload=port["id"], target=port["fixed_ips"][index]["ip_address"], node=node),)


def test_an_unassociated_floating_ip_is_a_claim_that_leads_nowhere(cloud: Cloud, tenant: Tenant) -> None:
    fip = tenant.floating_ip()
    assert () == eventually((), lambda: endpoints(cloud, fip))
    assert "DOWN" == status(cloud, fip)


def test_association_move_and_deletion_reach_the_store(cloud: Cloud, tenant: Tenant) -> None:
    first, second, fip = tenant.port(), tenant.port("compute-2"), tenant.floating_ip()
    cloud.update("floatingip", fip["id"], port_id=first["id"])
    assert leads_to(first) == eventually(leads_to(first), lambda: endpoints(cloud, fip))
    cloud.update("floatingip", fip["id"], port_id=second["id"])
    moved = leads_to(second, "compute-2")
    assert moved == eventually(moved, lambda: endpoints(cloud, fip))
    cloud.update("floatingip", fip["id"], port_id=None)
    assert () == eventually((), lambda: endpoints(cloud, fip))
    cloud.delete("floatingip", fip["id"])
    assert None is eventually(None, lambda: claim(cloud, fip))


def test_a_floating_ip_deleted_while_associated_leaves_no_claim(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port()
    fip = tenant.floating_ip(port_id=port["id"])
    assert leads_to(port) == eventually(leads_to(port), lambda: endpoints(cloud, fip))
    cloud.delete("floatingip", fip["id"])
    assert None is eventually(None, lambda: claim(cloud, fip))


def test_deleting_the_port_leaves_the_claim_leading_nowhere(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port()
    fip = tenant.floating_ip(port_id=port["id"])
    assert leads_to(port) == eventually(leads_to(port), lambda: endpoints(cloud, fip))
    cloud.delete("port", port["id"])
    assert () == eventually((), lambda: endpoints(cloud, fip))
    assert "DOWN" == eventually("DOWN", lambda: status(cloud, fip))


def test_active_only_after_its_node_reported_the_present_association(cloud: Cloud, tenant: Tenant) -> None:
    port, other = tenant.port(), tenant.port()
    fip = tenant.floating_ip(port_id=port["id"])
    assert leads_to(port) == eventually(leads_to(port), lambda: endpoints(cloud, fip))
    assert "DOWN" == status(cloud, fip)
    cloud.report_address("compute-1", fip["floating_ip_address"])
    assert "ACTIVE" == eventually("ACTIVE", lambda: status(cloud, fip))
    cloud.update("floatingip", fip["id"], port_id=other["id"])
    assert "DOWN" == status(cloud, fip)
    assert leads_to(other) == eventually(leads_to(other), lambda: endpoints(cloud, fip))
    cloud.report_address("compute-1", fip["floating_ip_address"])
    assert "ACTIVE" == eventually("ACTIVE", lambda: status(cloud, fip))


def test_error_and_a_lost_node_are_shown(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port("compute-2")
    fip = tenant.floating_ip(port_id=port["id"])
    moved = leads_to(port, "compute-2")
    assert moved == eventually(moved, lambda: endpoints(cloud, fip))
    cloud.report_address("compute-2", fip["floating_ip_address"], State.ERROR)
    assert "ERROR" == eventually("ERROR", lambda: status(cloud, fip))
    cloud.report_address("compute-2", fip["floating_ip_address"])
    assert "ACTIVE" == eventually("ACTIVE", lambda: status(cloud, fip))
    cloud.agent_gone("compute-2")
    assert "DOWN" == eventually("DOWN", lambda: status(cloud, fip))
    assert False is eventually(False, lambda: cloud.is_alive("compute-2"))
    cloud.agent("compute-2")
    assert "ACTIVE" == eventually("ACTIVE", lambda: status(cloud, fip))


def test_each_fixed_ip_of_a_port_may_have_its_own(cloud: Cloud, tenant: Tenant) -> None:
    subnet = tenant.subnet["id"]
    port = tenant.port(fixed_ips=[{"subnet_id": subnet}, {"subnet_id": subnet}])
    made = [tenant.floating_ip(port_id=port["id"], fixed_ip_address=fixed["ip_address"]) for fixed in port["fixed_ips"]]
    for index, fip in enumerate(made):
        expected = leads_to(port, index=index)
        assert expected == eventually(expected, lambda fip=fip: endpoints(cloud, fip))  # type: ignore[misc]


def test_a_floating_ip_whose_fixed_ip_left_keeps_its_claim(cloud: Cloud, tenant: Tenant) -> None:
    subnet = tenant.subnet["id"]
    port = tenant.port(fixed_ips=[{"subnet_id": subnet}, {"subnet_id": subnet}])
    kept, gone = port["fixed_ips"]
    tenant.floating_ip(port_id=port["id"], fixed_ip_address=kept["ip_address"])
    fip = tenant.floating_ip(port_id=port["id"], fixed_ip_address=gone["ip_address"])
    cloud.update("port", port["id"], fixed_ips=[kept])
    expected = leads_to(port, index=1)
    assert expected == eventually(expected, lambda: endpoints(cloud, fip))


def test_a_floating_ip_for_an_unbound_port_waits(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port("")
    fip = tenant.floating_ip(port_id=port["id"])
    expected = leads_to(port, node="")
    assert expected == eventually(expected, lambda: endpoints(cloud, fip))
    cloud.update("port", port["id"], **{"binding:host_id": "compute-1", "device_owner": "compute:nova"})
    assert leads_to(port) == eventually(leads_to(port), lambda: endpoints(cloud, fip))


def direction(cloud: Cloud, fip: dict[str, Any]) -> Direction | None:
    """Return the direction of a claim."""
    found = claim(cloud, fip)
    return None if found is None else found.direction


def test_tags_give_a_floating_ip_and_its_pool_a_direction(cloud: Cloud, tenant: Tenant) -> None:
    fip = tenant.floating_ip()
    assert Direction.BOTH == eventually(Direction.BOTH, lambda: direction(cloud, fip))
    cloud.call("PUT", f"subnets/{tenant.pool['id']}/tags", {"tags": ["buoy:direction=egress"]})
    assert Direction.EGRESS == eventually(Direction.EGRESS, lambda: direction(cloud, fip))
    cloud.call("PUT", f"floatingips/{fip['id']}/tags", {"tags": ["mine", "buoy:direction=ingress"]})
    assert Direction.INGRESS == eventually(Direction.INGRESS, lambda: direction(cloud, fip))
    cloud.call("DELETE", f"floatingips/{fip['id']}/tags")
    assert Direction.EGRESS == eventually(Direction.EGRESS, lambda: direction(cloud, fip))
    cloud.call("DELETE", f"subnets/{tenant.pool['id']}/tags")
    assert Direction.BOTH == eventually(Direction.BOTH, lambda: direction(cloud, fip))


def test_a_wrong_direction_is_refused_with_the_right_ones(cloud: Cloud, tenant: Tenant) -> None:
    fip = tenant.floating_ip()
    with pytest.raises(Refusal, match="buoy:direction=ingress") as refused:
        cloud.call("PUT", f"floatingips/{fip['id']}/tags", {"tags": ["buoy:direction=sideways"]})
    assert 400 == refused.value.status
    tags = ["buoy:direction=ingress", "buoy:direction=egress"]
    with pytest.raises(Refusal, match="contradict") as refused:
        cloud.call("PUT", f"floatingips/{fip['id']}/tags", {"tags": tags})
    assert 409 == refused.value.status
    assert [] == cloud.show("floatingip", fip["id"])["tags"]


def forward(cloud: Cloud, fip: dict[str, Any], port: dict[str, Any], **ports: object) -> str:
    """Create a port forwarding; return its id."""
    body = {
        "internal_port_id": port["id"],
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        "protocol": "tcp",
        **ports,
    }
    made = cloud.call("POST", f"floatingips/{fip['id']}/port_forwardings", {"port_forwarding": body})
    return str(made["port_forwarding"]["id"])


def test_port_forwarding_with_ranges(cloud: Cloud, tenant: Tenant) -> None:
    port, fip = tenant.port(), tenant.floating_ip()
    one = forward(cloud, fip, port, external_port=2222, internal_port=22)
    forward(cloud, fip, port, external_port_range="8000:8009", internal_port_range="9000:9009", protocol="udp")
    target = port["fixed_ips"][0]["ip_address"]
    first = PortMapping(protocol="tcp", first=2222, last=2222, target_first=22)
    ranged = PortMapping(protocol="udp", first=8000, last=8009, target_first=9000)
    both = tuple(
        Endpoint(workload=port["id"], target=target, node="compute-1", mapping=mapping) for mapping in (first, ranged)
    )
    assert both == eventually(both, lambda: endpoints(cloud, fip))
    at = f"floatingips/{fip['id']}/port_forwardings/{one}"
    cloud.call("PUT", at, {"port_forwarding": {"external_port": 2223}})
    assert 2223 == eventually(2223, lambda: (endpoints(cloud, fip) or both)[0].mapping.first)  # type: ignore[union-attr]
    cloud.call("DELETE", at)
    assert both[1:] == eventually(both[1:], lambda: endpoints(cloud, fip))
    cloud.delete("port", port["id"])
    assert () == eventually((), lambda: endpoints(cloud, fip))


def test_many_ports_may_lead_to_one_but_not_too_many(cloud: Cloud, tenant: Tenant) -> None:
    port, fip = tenant.port(), tenant.floating_ip()
    forward(cloud, fip, port, external_port_range="80:81", internal_port_range="8080:8080")
    leads = [(80, 8080), (81, 8080)]

    def mapped() -> list[tuple[int, int]]:
        mappings = [endpoint.mapping for endpoint in endpoints(cloud, fip) or ()]
        return [(mapping.first, mapping.target_first) for mapping in mappings if mapping]

    assert leads == eventually(leads, mapped)
    with pytest.raises(Refusal, match="at most 1024") as refused:
        forward(cloud, fip, port, external_port_range="1000:9000", internal_port_range="22:22")
    assert 400 == refused.value.status


def test_forwarded_ports_and_a_direction_that_lets_nobody_in_contradict_each_other(cloud: Cloud) -> None:
    tenant = Tenant(cloud, 68)
    port, fip = tenant.port(), tenant.floating_ip()
    own, pool = f"floatingips/{fip['id']}/tags", f"subnets/{tenant.pool['id']}/tags"
    cloud.call("PUT", pool, {"tags": ["buoy:direction=egress"]})
    with pytest.raises(Refusal, match=f"direction=egress' of floating IP {fip['floating_ip_address']}") as refused:
        forward(cloud, fip, port, external_port=22, internal_port=22)
    assert 409 == refused.value.status
    cloud.call("PUT", own, {"tags": ["buoy:direction=ingress"]})
    forwarding = forward(cloud, fip, port, external_port=22, internal_port=22)
    for method, tags in (("PUT", {"tags": ["buoy:direction=egress"]}), ("DELETE", None)):
        with pytest.raises(Refusal, match="contradicts forwarded ports"):
            cloud.call(method, own, tags)
    assert ["buoy:direction=ingress"] == cloud.show("floatingip", fip["id"])["tags"]
    cloud.call("DELETE", f"floatingips/{fip['id']}/port_forwardings/{forwarding}")
    cloud.call("DELETE", own)
    assert Direction.EGRESS == eventually(Direction.EGRESS, lambda: direction(cloud, fip))


def test_a_direction_older_than_the_rule_it_breaks_hinders_no_other_tag(cloud: Cloud) -> None:
    tenant = Tenant(cloud, 69)
    port, fip = tenant.port(), tenant.floating_ip()
    forward(cloud, fip, port, external_port=22, internal_port=22)
    egress, pool = "buoy:direction=egress", tenant.pool["id"]
    tag = "INSERT INTO tags (standard_attr_id, tag) SELECT standard_attr_id, ? FROM subnets WHERE id = ?"
    with sqlite3.connect(cloud.directory / "neutron.sqlite", timeout=30) as database:
        database.execute(tag, (egress, pool))
    cloud.call("PUT", f"subnets/{pool}/tags", {"tags": [egress, "mine"]})
    assert {egress, "mine"} == set(cloud.show("subnet", pool)["tags"])
    with pytest.raises(Refusal, match="contradicts forwarded ports"):
        cloud.call("PUT", f"networks/{tenant.public['id']}/tags", {"tags": [egress]})


def test_of_two_floating_ips_of_one_fixed_ip_the_default_routers_goes_out(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port()
    owner = tenant.floating_ip(port_id=port["id"])
    public = cloud.create("network", name="second", **{"router:external": True})
    cloud.create("subnet", network_id=public["id"], cidr="100.64.0.0/24", ip_version=4)
    router = cloud.create("router", name="second", external_gateway_info={"network_id": public["id"]})
    leg = cloud.create("port", network_id=tenant.network["id"])
    cloud.call("PUT", f"routers/{router['id']}/add_router_interface", {"port_id": leg["id"]})
    other = cloud.create("floatingip", floating_network_id=public["id"], port_id=port["id"])

    def default(fip: dict[str, Any]) -> bool | None:
        found = claim(cloud, fip)
        return None if found is None else found.default_egress

    assert (True, False) == eventually((True, False), lambda: (default(owner), default(other)))
    cloud.call("PUT", f"floatingips/{owner['id']}/tags", {"tags": ["buoy:direction=ingress"]})
    assert (False, True) == eventually((False, True), lambda: (default(owner), default(other)))
