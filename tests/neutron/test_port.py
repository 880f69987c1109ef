# SPDX-License-Identifier: Apache-2.0
"""Ports: bound only where an agent lives, ACTIVE only when it said so, refused with a reason otherwise."""

import sqlite3
from typing import Any

import pytest

from buoy.model.address import Prefix
from buoy.model.ownership import NEUTRON_DEVICE_OWNER
from buoy.model.reason import Reason
from buoy.model.status import State
from buoy.model.workload import AddressPair, DhcpOption, FixedIP, Workload
from tests.neutron.cloud import Cloud, Refusal, eventually
from tests.neutron.story import Tenant


@pytest.fixture(scope="module")
def tenant(cloud: Cloud) -> Tenant:
    """A tenant network behind a router."""
    return Tenant(cloud, 65)


def workload(cloud: Cloud, port: dict[str, Any], node: str = "compute-1") -> Workload | None:
    """Return the workload of a port."""
    document = cloud.document(f"workloads/{node}/{port['id']}")
    assert document is None or isinstance(document, Workload)
    return document


def addresses(cloud: Cloud, port: dict[str, Any], node: str = "compute-1") -> list[str] | None:
    """Return the fixed addresses of a workload."""
    found = workload(cloud, port, node)
    return None if found is None else [fixed.address for fixed in found.fixed_ips]


def status(cloud: Cloud, port: dict[str, Any]) -> str:
    """Return the status Neutron shows."""
    return str(cloud.show("port", port["id"])["status"])


def test_a_bound_port_is_a_workload_on_its_node(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port(name="vm1", dns_name="vm1")
    assert "tap" == port["binding:vif_type"]
    assert {"port_filter": True, "connectivity": "l3"}.items() <= port["binding:vif_details"].items()
    fixed = tuple(FixedIP(address=f["ip_address"], subnet=f["subnet_id"]) for f in port["fixed_ips"])
    eventually(True, lambda: workload(cloud, port) is not None)
    found = workload(cloud, port)
    assert found is not None
    assert ("tap" + port["id"][:11], port["mac_address"], "vm1") == (found.interface, found.mac, found.hostname)
    assert fixed == found.fixed_ips
    assert tuple(port["security_groups"]) == found.groups


def test_active_only_after_the_agent_said_so_and_down_when_it_says_that(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port()
    assert "DOWN" == status(cloud, port)
    cloud.report_port("compute-1", port["id"])
    assert "ACTIVE" == eventually("ACTIVE", lambda: status(cloud, port))
    cloud.report_port("compute-1", port["id"], State.DOWN, Reason.TAP_MISSING)
    assert "DOWN" == eventually("DOWN", lambda: status(cloud, port))
    cloud.report_port("compute-1", port["id"], State.ERROR, Reason.REFUSED_BY_KERNEL)
    assert "ERROR" == eventually("ERROR", lambda: status(cloud, port))
    cloud.report_port("compute-1", port["id"])
    assert "ACTIVE" == eventually("ACTIVE", lambda: status(cloud, port))


def test_a_host_without_a_living_agent_refuses_the_binding(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port("compute-9")
    assert "binding_failed" == port["binding:vif_type"]
    assert "no buoy agent was ever heard of there" in cloud.log()
    cloud.agent("compute-8")
    cloud.agent_gone("compute-8")
    assert False is eventually(False, lambda: cloud.is_alive("compute-8"))
    assert "binding_failed" == tenant.port("compute-8")["binding:vif_type"]


def test_a_port_that_moves_leaves_no_workload_behind(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port()
    assert True is eventually(True, lambda: workload(cloud, port) is not None)
    cloud.update("port", port["id"], **{"binding:host_id": "compute-2"})
    moved = (True, False)
    assert moved == eventually(
        moved, lambda: (workload(cloud, port, "compute-2") is not None, workload(cloud, port) is not None)
    )
    cloud.delete("port", port["id"])
    assert None is eventually(None, lambda: workload(cloud, port, "compute-2"))


def test_a_service_ip_is_added_moved_and_removed(cloud: Cloud, tenant: Tenant) -> None:
    first, second = tenant.port(), tenant.port("compute-2")
    service = {"subnet_id": tenant.subnet["id"], "ip_address": "10.65.0.254"}
    own, others = (port["fixed_ips"][0]["ip_address"] for port in (first, second))
    cloud.update("port", first["id"], fixed_ips=[*first["fixed_ips"], service])
    both = [own, "10.65.0.254"]
    assert both == eventually(both, lambda: addresses(cloud, first))
    with pytest.raises(Refusal, match="already allocated"):
        cloud.update("port", second["id"], fixed_ips=[*second["fixed_ips"], service])
    cloud.update("port", first["id"], fixed_ips=first["fixed_ips"])
    cloud.update("port", second["id"], fixed_ips=[*second["fixed_ips"], service])
    moved = ([own], [others, "10.65.0.254"])
    assert moved == eventually(moved, lambda: (addresses(cloud, first), addresses(cloud, second, "compute-2")))
    cloud.update("port", second["id"], fixed_ips=second["fixed_ips"])
    assert [others] == eventually([others], lambda: addresses(cloud, second, "compute-2"))


def test_pairs_options_and_port_security(cloud: Cloud, tenant: Tenant) -> None:
    pairs = [{"ip_address": "10.99.0.0/24", "mac_address": "fa:16:3e:00:00:01"}, {"ip_address": "10.98.0.1"}]
    options = [{"opt_name": "bootfile-name", "opt_value": "pxelinux.0"}]
    port = tenant.port(allowed_address_pairs=pairs, extra_dhcp_opts=options)
    expected = (
        AddressPair(prefix=Prefix("10.98.0.1/32"), mac=port["mac_address"]),
        AddressPair(prefix=Prefix("10.99.0.0/24"), mac=pairs[0]["mac_address"]),  # type: ignore[arg-type]
    )
    assert expected == eventually(expected, lambda: getattr(workload(cloud, port), "pairs", None))
    told = (DhcpOption(name="bootfile-name", value="pxelinux.0"),)
    assert told == getattr(workload(cloud, port), "dhcp_options", None)
    cloud.update("port", port["id"], port_security_enabled=False, security_groups=[], allowed_address_pairs=[])
    assert False is eventually(False, lambda: getattr(workload(cloud, port), "port_security", None))


def test_a_pair_names_the_bound_port_whose_fixed_ip_it_is_as_long_as_it_is(cloud: Cloud, tenant: Tenant) -> None:
    def owner() -> list[str]:
        found = workload(cloud, asking)
        return [] if found is None else [pair.owner for pair in found.pairs]

    vip, asking = tenant.port(""), tenant.port()
    fixed = [{"subnet_id": tenant.subnet["id"], "ip_address": vip["fixed_ips"][0]["ip_address"]}]
    # netaddr's spelling of one address, which no SQL would find
    pair = {"ip_address": f"{fixed[0]['ip_address']}/32"}
    cloud.update("port", asking["id"], allowed_address_pairs=[pair])
    assert [""] == eventually([""], owner)
    cloud.update("port", vip["id"], **{"binding:host_id": "compute-2", "device_owner": "compute:nova"})
    assert [vip["id"]] == eventually([vip["id"]], owner)
    cloud.update("port", vip["id"], fixed_ips=[{**fixed[0], "ip_address": "10.65.0.253"}])
    assert [""] == eventually([""], owner)
    heir = tenant.port("compute-2", fixed_ips=fixed)
    assert [heir["id"]] == eventually([heir["id"]], owner)
    assert 0 == cloud.compare()[0]
    cloud.delete("port", heir["id"])
    assert [""] == eventually([""], owner)


@pytest.mark.parametrize(("version", "odd"), [(4, "10.65.0.05"), (6, "2001:db8:65::5/129")])
def test_a_pair_that_nobody_can_read_hinders_its_own_port_alone(
    cloud: Cloud, tenant: Tenant, version: int, odd: str
) -> None:
    subnet = tenant.subnet if version == 4 else cloud.create(
        "subnet", network_id=tenant.network["id"], cidr="2001:db8:65::/64", ip_version=6
    )  # fmt: skip
    asking, other = tenant.port(), tenant.port(fixed_ips=[{"subnet_id": subnet["id"]}])
    pair = {"ip_address": other["fixed_ips"][0]["ip_address"]}
    cloud.update("port", asking["id"], allowed_address_pairs=[pair])
    assert other["id"] == eventually(other["id"], lambda: owner_of_pair(cloud, asking))
    with sqlite3.connect(cloud.directory / "neutron.sqlite", timeout=30) as database:
        row = (asking["id"], asking["mac_address"], odd)
        database.execute("INSERT INTO allowedaddresspairs (port_id, mac_address, ip_address) VALUES (?, ?, ?)", row)
    cloud.update("port", other["id"], name="renamed")
    assert "renamed" == eventually("renamed", lambda: getattr(workload(cloud, other), "name", None))
    assert f"workloads/compute-1/{asking['id']} stays as it is in the store" in cloud.log()
    with sqlite3.connect(cloud.directory / "neutron.sqlite", timeout=30) as database:
        database.execute("DELETE FROM allowedaddresspairs WHERE ip_address = ?", (odd,))


def owner_of_pair(cloud: Cloud, port: dict[str, Any]) -> str:
    """Return the port that the only pair of a workload belongs to."""
    found = workload(cloud, port)
    return found.pairs[0].owner if found is not None and found.pairs else ""


def test_administratively_down_ports_and_networks(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port()
    cloud.update("port", port["id"], admin_state_up=False)
    assert False is eventually(False, lambda: getattr(workload(cloud, port), "admin_up", None))
    cloud.update("port", port["id"], admin_state_up=True)
    assert True is eventually(True, lambda: getattr(workload(cloud, port), "admin_up", None))
    cloud.update("network", tenant.network["id"], admin_state_up=False)
    assert False is eventually(False, lambda: getattr(workload(cloud, port), "admin_up", None))
    cloud.update("network", tenant.network["id"], admin_state_up=True)
    assert True is eventually(True, lambda: getattr(workload(cloud, port), "admin_up", None))


def test_what_cannot_be_honoured_is_refused_at_the_door(cloud: Cloud, tenant: Tenant) -> None:
    with pytest.raises(Refusal, match="no-such-option") as refused:
        tenant.port(extra_dhcp_opts=[{"opt_name": "no-such-option", "opt_value": "1"}])
    assert 400 == refused.value.status
    with pytest.raises(Refusal, match="vnic-type normal") as refused:
        tenant.port(**{"binding:vnic_type": "direct"})
    assert 400 == refused.value.status


def test_an_option_that_is_older_than_buoy_holds_up_nothing(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port("")
    with sqlite3.connect(cloud.directory / "neutron.sqlite", timeout=30) as database:
        row = (port["id"], port["id"], "tag:ipxe,67", "undionly.kpxe", 4)
        words = "INSERT INTO extradhcpopts (id, port_id, opt_name, opt_value, ip_version) VALUES (?, ?, ?, ?, ?)"
        database.execute(words, row)
    cloud.update("port", port["id"], **{"binding:host_id": "compute-1", "device_owner": "compute:nova"})
    cloud.report_port("compute-1", port["id"])
    assert "ACTIVE" == eventually("ACTIVE", lambda: status(cloud, port))
    with pytest.raises(Refusal, match="no-such-option"):
        cloud.update("port", port["id"], extra_dhcp_opts=[{"opt_name": "no-such-option", "opt_value": "1"}])


def test_a_port_that_keeps_an_address_for_a_kubernetes_cluster_is_never_bound(cloud: Cloud, tenant: Tenant) -> None:
    fields = {"device_owner": NEUTRON_DEVICE_OWNER, "binding:host_id": "compute-1"}
    port = cloud.create("port", network_id=tenant.network["id"], **fields)
    assert "binding_failed" == cloud.show("port", port["id"])["binding:vif_type"]
    assert workload(cloud, port) is None


def test_overlapping_subnets_are_refused_where_buoy_carries_them(cloud: Cloud, tenant: Tenant) -> None:
    other = cloud.create("network", name="other")
    with pytest.raises(Refusal, match=r"10\.65\.0\.128/25 overlaps 10\.65\.0\.0/24") as refused:
        cloud.create("subnet", network_id=other["id"], cidr="10.65.0.128/25", ip_version=4)
    assert 409 == refused.value.status
    assert tenant.network["name"] in refused.value.body
    external = cloud.create("network", name="outside", **{"router:external": True})
    assert cloud.create("subnet", network_id=external["id"], cidr="10.65.0.0/24", ip_version=4)
    with pytest.raises(Refusal, match=r"10\.65\.0\.0/24 overlaps 10\.65\.0\.0/24") as refused:
        cloud.update("network", external["id"], **{"router:external": False})
    assert 409 == refused.value.status
    assert True is cloud.show("network", external["id"])["router:external"]


def test_routers_refuse_what_they_would_ignore(cloud: Cloud, tenant: Tenant) -> None:
    gateway = {"network_id": tenant.public["id"], "enable_snat": True}
    with pytest.raises(Refusal, match="enable_snat_by_default = False"):
        cloud.create("router", name="snat", external_gateway_info=gateway)
    with pytest.raises(Refusal, match="admin_state_up"):
        cloud.update("router", tenant.router["id"], admin_state_up=False)
    with pytest.raises(Refusal, match="routes"):
        cloud.update("router", tenant.router["id"], routes=[{"destination": "0.0.0.0/0", "nexthop": "10.65.0.9"}])


def test_router_ports_are_active(cloud: Cloud, tenant: Tenant) -> None:
    ports = cloud.call("GET", f"ports?device_id={tenant.router['id']}")["ports"]
    assert ["ACTIVE", "ACTIVE"] == [port["status"] for port in ports]


def test_live_migration_keeps_the_source_until_the_target_is_activated(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port(device_id="vm")
    eventually(True, lambda: workload(cloud, port) is not None)
    at = f"ports/{port['id']}/bindings"
    cloud.call("POST", at, {"binding": {"host": "compute-2"}})
    assert (True, False) == (workload(cloud, port) is not None, workload(cloud, port, "compute-2") is not None)
    cloud.call("PUT", f"{at}/compute-2/activate")
    moved = (False, True)
    assert moved == eventually(
        moved, lambda: (workload(cloud, port) is not None, workload(cloud, port, "compute-2") is not None)
    )
