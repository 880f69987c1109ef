# SPDX-License-Identifier: Apache-2.0
"""Beside another driver: its ports stay its own, and get no floating IP that nobody would translate."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from buoy.model.network import Subnet
from buoy.model.service_ip import ServiceIP
from tests.neutron.cloud import Cloud, Refusal, eventually
from tests.neutron.story import Tenant

_AGENT = """
    INSERT INTO agents (id, agent_type, binary, topic, host, admin_state_up, created_at, started_at,
                        heartbeat_timestamp, configurations, load)
    VALUES ('0a0a0a0a-0000-4000-8000-000000000001', 'Open vSwitch agent', 'neutron-openvswitch-agent', 'N/A',
            'ovs-1', 1, ?, ?, ?, ?, 0)
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud with Buoy and Open vSwitch; ovs-1 has an Open vSwitch agent that stays alive for the test."""
    made = Cloud(tmp_path_factory.mktemp("cloud"), drivers=("buoy", "openvswitch"))
    try:
        made.start()
        made.agent("compute-1")
        now = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S.000000")
        configurations = json.dumps({"tunnel_types": ["vxlan"], "bridge_mappings": {}, "tunneling_ip": "192.0.2.9"})
        with sqlite3.connect(made.directory / "neutron.sqlite", timeout=30) as database:
            database.execute(_AGENT, (now, now, now, configurations))
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def overlay(cloud: Cloud) -> Tenant:
    """A VXLAN network behind a router."""
    return Tenant(cloud, 65, **{"provider:network_type": "vxlan"})


def test_its_ports_are_its_own_and_floating_ips_for_them_are_refused(cloud: Cloud, overlay: Tenant) -> None:
    port = overlay.port("ovs-1")
    assert "ovs" == port["binding:vif_type"]
    with pytest.raises(Refusal, match="bound by driver 'openvswitch' on host 'ovs-1'") as refused:
        overlay.floating_ip(port_id=port["id"])
    assert 409 == refused.value.status
    fip = overlay.floating_ip()
    with pytest.raises(Refusal, match="bound by driver 'openvswitch'"):
        cloud.update("floatingip", fip["id"], port_id=port["id"])
    forwarding = {"internal_port_id": port["id"], "internal_ip_address": port["fixed_ips"][0]["ip_address"]}
    forwarding |= {"protocol": "tcp", "external_port": 22, "internal_port": 22}
    with pytest.raises(Refusal, match=r"internal_port_id: .* bound by driver 'openvswitch'") as refused:
        cloud.call("POST", f"floatingips/{fip['id']}/port_forwardings", {"port_forwarding": forwarding})
    assert 409 == refused.value.status
    assert set() == {at for at in cloud.documents() if at.startswith("workloads/")}


def test_a_port_bound_elsewhere_later_is_named_in_the_claim(cloud: Cloud, overlay: Tenant) -> None:
    port = overlay.port("")
    fip = overlay.floating_ip(port_id=port["id"])
    cloud.update("port", port["id"], **{"binding:host_id": "ovs-1", "device_owner": "compute:nova"})

    def seen() -> list[tuple[str, str]]:
        claim = cloud.document(f"service-ips/{fip['floating_ip_address']}")
        return [(one.node, one.driver) for one in claim.endpoints] if isinstance(claim, ServiceIP) else []

    assert [("", "openvswitch")] == eventually([("", "openvswitch")], seen)
    assert "DOWN" == cloud.show("floatingip", fip["id"])["status"]


def test_its_ports_have_the_options_that_its_own_dhcp_server_takes(cloud: Cloud, overlay: Tenant) -> None:
    port = overlay.port("ovs-1")
    option = {"opt_name": "tag:ipxe,67", "opt_value": "undionly.kpxe", "ip_version": 4}
    assert [option] == cloud.update("port", port["id"], extra_dhcp_opts=[option])["extra_dhcp_opts"]
    assert "renamed" == cloud.update("port", port["id"], name="renamed")["name"]


def test_its_networks_may_overlap_and_are_not_internal(cloud: Cloud, overlay: Tenant) -> None:
    other = cloud.create("network", name="overlap", **{"provider:network_type": "vxlan"})
    subnet = cloud.create("subnet", network_id=other["id"], cidr="10.65.0.0/24", ip_version=4)
    at = f"subnets/{subnet['id']}"
    assert True is eventually(True, lambda: isinstance(cloud.document(at), Subnet))
    assert False is getattr(cloud.document(at), "internal", None)
