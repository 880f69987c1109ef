# SPDX-License-Identifier: Apache-2.0
"""Certificates and tokens that end while etcd, Neutron and the agents run: none of them is ever restarted for it."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from buoy.lab import launch
from buoy.lab.lab import Lab
from tests.e2e.cloud import eventually, fresh_name, networks
from tests.e2e.secured import TOKEN_SECONDS, Authority, Secured, topology, wait_until
from tests.e2e.watching import no_packet_lost

SECONDS = 20
"""Within what a client waits before it tries again, with room for a busy machine."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    wanted = topology(fresh_name("certificates"), authority)
    launch.start(wanted, lambda _: None, 120)
    lab = Lab(wanted.name)
    try:
        made = Secured(lab, authority)
        networks(made)
        yield made
        made.close()
    finally:
        lab.down()


@pytest.fixture(scope="module")
def guests(cloud: Secured) -> dict[str, dict[str, Any]]:
    """A guest on each node, by name."""
    found = {name: cloud.boot(name, f"compute-{name}", network="calico") for name in ("1", "2")}
    eventually(lambda: set(_addresses(found)) <= cloud.routes("access").keys(), seconds=SECONDS)
    return found


@pytest.fixture(autouse=True)
def unrestarted(cloud: Secured, guests: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Whatever a test does, the same processes run before and after, and no packet is lost."""
    before = _processes(cloud)
    with no_packet_lost(cloud, "access", _addresses(guests)):
        yield
    assert before == _processes(cloud)


def _addresses(guests: dict[str, dict[str, Any]]) -> list[str]:
    return [address for guest in guests.values() for address in guest["addresses"] if "." in address]


def _processes(cloud: Secured) -> dict[str, int]:
    return {
        f"{one['node']}/{one['service']}": one["process"]
        for one in cloud.lab.services()
        if one["service"] in ("etcd", "neutron", "agent")
    }


def _everything_works(cloud: Secured, guests: dict[str, dict[str, Any]]) -> None:
    """Demand that what Neutron is told reaches each node, and that what each node says reaches Neutron."""
    made = [cloud.get("floating", "ip", "create", "public", "--port", guest["port"]) for guest in guests.values()]
    addresses = {one["floating_ip_address"] for one in made}
    eventually(lambda: addresses <= cloud.routes("access").keys(), seconds=SECONDS)

    def statuses() -> list[str]:
        return [one["Status"] for one in cloud.get("floating", "ip", "list", "--long")]

    eventually(statuses, ["ACTIVE", "ACTIVE"].__eq__, seconds=SECONDS)
    cloud.openstack("floating", "ip", "delete", *addresses)
    eventually(lambda: not addresses & cloud.routes("access").keys(), seconds=SECONDS)


def test_tokens_expire_and_nobody_notices(cloud: Secured, guests: dict[str, dict[str, Any]]) -> None:
    _everything_works(cloud, guests)
    # a token lives on for as long as it is used: nobody uses Neutron's meanwhile
    time.sleep(TOKEN_SECONDS + 2)
    _everything_works(cloud, guests)


def test_certificates_renewed_in_time_are_shown_at_the_next_connection(
    cloud: Secured, guests: dict[str, dict[str, Any]]
) -> None:
    end = cloud.renew(10)
    cloud.cut()
    _everything_works(cloud, guests)
    cloud.renew(3600)
    wait_until(end)
    cloud.cut()
    _everything_works(cloud, guests)


def test_certificates_renewed_too_late_are_used_as_soon_as_they_are_there(
    cloud: Secured, guests: dict[str, dict[str, Any]]
) -> None:
    wait_until(cloud.renew(1))
    cloud.cut()
    for node in ("compute-1", "compute-2"):
        eventually(partial(_store_up, cloud, node), False.__eq__, seconds=SECONDS)
    port = guests["1"]["port"]
    cloud.openstack("port", "set", "--fixed-ip", "subnet=calico-v4,ip-address=10.65.0.71", port)
    assert "10.65.0.71" not in cloud.routes("access")
    cloud.renew(3600)
    eventually(lambda: "10.65.0.71" in cloud.routes("access"), seconds=SECONDS)
    cloud.openstack("port", "unset", "--fixed-ip", "subnet=calico-v4,ip-address=10.65.0.71", port)
    _everything_works(cloud, guests)


def _store_up(cloud: Secured, node: str) -> bool:
    """Tell whether an agent says that it has its store."""
    return "buoy_store_up 1.0" in cloud.on(node, "curl", "-s", "http://127.0.0.1:9705/metrics")
