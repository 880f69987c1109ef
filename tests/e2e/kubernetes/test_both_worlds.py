# SPDX-License-Identifier: Apache-2.0
"""One pool for both worlds: floating IPs of an OpenStack and Services of a Kubernetes cluster never have one address.

Two labs at once. The cluster's controller runs on the host, from where alone both are reached.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buoy.lab.lab import Lab
from tests.e2e.cloud import ClientError, Cloud, eventually, fresh_name
from tests.e2e.kubernetes.cluster import Cluster, RefusedError, pool, service

PREFIX, SPARE = "198.18.64.0/22", 8
HOLD_DOWN = 5.0
EACH = int(os.environ.get("BUOY_BOTH_WORLDS", "50"))
"""Allocations from each side at once."""
AWAY = 2.0
"""Seconds for which either side is down in between."""


class Worlds:
    """Both labs, the subnet they share, and the controller on the host."""

    def __init__(self, cloud: Cloud, cluster: Cluster, log: Path) -> None:
        self.cloud = cloud
        self.log = log
        self.cluster = cluster
        self._controller: subprocess.Popen[bytes] | None = None

    def start_controller(self) -> None:
        """Run the cluster's controller on the host, in the place of that of its lab."""
        command = [sys.executable, "-m", "buoy.cli.main", "controller", "run", "--listen", "", "--cluster", "prod"]
        neutron = {"OS_ENDPOINT": self.cloud.lab.env()["OS_ENDPOINT"], "BUOY_NEUTRON_SPARE": str(SPARE)}
        environment = {**self.cluster.environment, **neutron}
        with self.log.open("ab") as log:
            self._controller = subprocess.Popen(command, env=environment, stderr=log)

    def kill_controller(self) -> None:
        """End it at whatever instruction it is."""
        if self._controller is not None:
            self._controller.send_signal(signal.SIGKILL)
            self._controller.wait()

    def floating(self) -> list[str]:
        """Return the addresses of floating IPs."""
        return [each["Floating IP Address"] for each in self.cloud.get("floating", "ip", "list")]

    def ports(self) -> list[dict[str, Any]]:
        """Return the ports that keep addresses for the cluster."""
        listed = self.cloud.get("port", "list", "--device-owner", "buoy:service-ip", "--long")
        return list(listed)

    def services(self, prefix: str) -> dict[str, list[str]]:
        """Return the load-balancer addresses of the Services whose names begin so."""
        found = self.cluster.get("services")["items"]
        named = [each for each in found if each["metadata"]["name"].startswith(prefix)]
        return {
            each["metadata"]["name"]: [
                entry["ip"] for entry in each["status"].get("loadBalancer", {}).get("ingress", [])
            ]
            for each in named
        }


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """Two labs and a pool; nothing of them is left afterwards."""
    with contextlib.ExitStack() as stack:
        openstack = Lab(fresh_name("both-o")).up(nodes=1)
        stack.callback(openstack.down)
        kubernetes = Lab(fresh_name("both-k")).up_kubernetes()
        stack.callback(kubernetes.down)
        made = Worlds(Cloud(openstack), Cluster(kubernetes), tmp_path_factory.mktemp("controller") / "log")
        stack.callback(made.cloud.close)
        kubernetes.service("stop", "controller", "buoy")
        made.cloud.openstack("network", "create", "--external", "public")
        made.cloud.openstack("subnet", "create", "--network", "public", "--subnet-range", PREFIX, "public-v4")
        made.start_controller()
        stack.callback(made.kill_controller)
        subnet = made.cloud.get("subnet", "show", "public-v4")["id"]
        made.cluster.apply(pool("vms", PREFIX, registry="neutron", subnet=subnet, holdDown=HOLD_DOWN))
        yield made


def address(worlds: Worlds, name: str) -> str:
    [found] = eventually(lambda: worlds.cluster.external(name), seconds=20)
    return str(found)


def persistently(act: Callable[[], object], seconds: float = 60) -> None:
    """Do something until it is not refused: the other side may be down just now."""

    def done() -> bool:
        try:
            act()
        except (ClientError, RefusedError):
            return False
        return True

    eventually(done, seconds=seconds)


def test_an_address_of_the_pool_is_announced_and_kept_in_neutron_by_an_unbound_port(worlds: Worlds) -> None:
    cluster = worlds.cluster
    cluster.pod("web", "node-1", {"app": "web"})
    cluster.apply(service("web", externalTrafficPolicy="Local"))
    at = address(worlds, "web")
    cluster.announced(f"{at}/32", "node-1")
    assert "web" in cluster.http(at)
    [kept] = eventually(
        lambda: [each for each in worlds.ports() if each["Name"].startswith("prod/default/web/")], seconds=20
    )
    shown = worlds.cloud.get("port", "show", kept["ID"])
    assert (at, "unbound") == (shown["fixed_ips"][0]["ip_address"], shown["binding_vif_type"])
    with pytest.raises(ClientError, match=at):
        worlds.cloud.openstack("floating", "ip", "create", "--floating-ip-address", at, "public")


def test_an_address_that_is_asked_for_is_had_unless_a_floating_ip_has_it(worlds: Worlds) -> None:
    taken, free = "198.18.66.66", "198.18.66.67"
    worlds.cloud.openstack("floating", "ip", "create", "--floating-ip-address", taken, "public")
    worlds.cluster.apply(service("asks", loadBalancerIP=free), service("begs", loadBalancerIP=taken))
    assert free == address(worlds, "asks")

    def said() -> str:
        conditions = worlds.cluster.get("service", "begs")["status"].get("conditions", [])
        return next((one["reason"] for one in conditions if one["status"] == "False"), "")

    assert "AddressNotPutAside" == eventually(said)
    eventually(lambda: worlds.cluster.get("pool", "vms")["status"]["message"], lambda text: taken in text)
    assert [] == worlds.cluster.external("begs")
    worlds.cluster.kubectl("delete", "service", "begs")


def test_what_was_put_aside_is_given_while_neutron_is_down_even_by_a_new_controller(worlds: Worlds) -> None:
    eventually(lambda: len([each for each in worlds.ports() if each["Name"] == "prod/spare"]), lambda n: n >= SPARE)
    worlds.cloud.lab.service("stop", "controller", "neutron")
    worlds.kill_controller()
    worlds.start_controller()
    worlds.cluster.apply(*(service(f"bridge-{number}") for number in range(SPARE)))
    found = [address(worlds, f"bridge-{number}") for number in range(SPARE)]
    assert SPARE == len(set(found))
    worlds.cloud.lab.service("start", "controller", "neutron")
    worlds.cloud.lab.wait_ready("controller", "neutron")
    eventually(lambda: {each["Name"].split("/")[2] for each in worlds.ports() if each["Name"].count("/") == 3},
               lambda names: {f"bridge-{number}" for number in range(SPARE)} <= names, seconds=60)  # fmt: skip


def test_allocations_from_both_sides_never_collide_whatever_is_down_in_between(worlds: Worlds) -> None:
    threads = [threading.Thread(target=act, args=(worlds,)) for act in (_float, _serve, _break)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    services = eventually(
        lambda: worlds.services("many-"),
        lambda found: EACH == len(found) and all(found.values()),
        seconds=60 + EACH / 4,
    )
    of_services = [each for addresses in services.values() for each in addresses]
    everything = [*worlds.floating(), *of_services]
    assert EACH == len(of_services)
    assert EACH <= len(worlds.floating())
    assert len(everything) == len(set(everything))
    kept = {address for port in worlds.ports() for address in re.findall(r"198\.18\.[0-9.]+", str(port))}
    assert set(of_services) <= kept


def test_ports_go_back_when_their_services_have_gone(worlds: Worlds) -> None:
    worlds.kill_controller()
    worlds.start_controller()
    names = [*worlds.services("many-"), *worlds.services("bridge-")]
    worlds.cluster.kubectl("delete", "service", "--wait=false", *names)
    rest = len(worlds.services("")) + 2 * SPARE
    eventually(lambda: len(worlds.ports()), lambda count: count <= rest, seconds=60 + EACH)


def _float(worlds: Worlds) -> None:
    """Give floating IPs."""
    cloud = Cloud(worlds.cloud.lab)
    try:
        for _ in range(EACH):
            persistently(lambda: cloud.openstack("floating", "ip", "create", "public"))
    finally:
        cloud.close()


def _serve(worlds: Worlds) -> None:
    """Make Services."""
    for number in range(0, EACH, 5):
        several = [service(f"many-{each}") for each in range(number, min(number + 5, EACH))]
        persistently(lambda several=several: worlds.cluster.apply(*several))  # type: ignore[misc]


def _break(worlds: Worlds) -> None:
    """Have either side away for a while, and the controller killed."""
    for lab, name in ((worlds.cloud.lab, "neutron"), (worlds.cluster.lab, "apiserver")):
        time.sleep(AWAY)
        lab.service("kill", "controller", name)
        time.sleep(AWAY)
        lab.service("start", "controller", name)
    for _ in range(3):
        worlds.kill_controller()
        worlds.start_controller()
        time.sleep(AWAY)
