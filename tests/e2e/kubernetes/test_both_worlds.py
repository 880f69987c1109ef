# SPDX-License-Identifier: Apache-2.0
"""One pool for both worlds: floating IPs of an OpenStack and Services of a Kubernetes cluster never have one address.

Two labs at once. The cluster's controller runs on the host, from where alone both are reached. What is done a hundred
times over is asked of Neutron's API itself, as a client of it takes as long as Neutron does.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buoy.lab.lab import Lab
from tests.e2e.cloud import ClientError, Cloud, Seen, eventually, fresh_name
from tests.e2e.kubernetes.cluster import Cluster, RefusedError, pool, service

PREFIX, SPARE = "198.18.64.0/21", 8
HOLD_DOWN = 5.0
EACH = int(os.environ.get("BUOY_BOTH_WORLDS", "50"))
"""Allocations from each side at once."""
AT_ONCE, BREAKS = max(5, EACH // 20), 1 + EACH // 250
"""Services applied at once; how often both sides go down in between."""
AWAY = 2.0
"""Seconds for which either side is down in between."""
SEEN = ("fields=id", "fields=name", "fields=fixed_ips")


class Worlds:
    """Both labs, the subnet they share, and the controller on the host."""

    def __init__(self, cloud: Cloud, cluster: Cluster, scratch: Path) -> None:
        self.cloud = cloud
        self.log, self._identity = scratch / "log", scratch / "identity"
        self.cluster = cluster
        self.endpoint = cloud.lab.env()["OS_ENDPOINT"]
        self.network = ""
        self._controller: subprocess.Popen[bytes] | None = None

    def start_controller(self) -> None:
        """Run the cluster's controller on the host, in the place of that of its lab."""
        command = [sys.executable, "-m", "buoy.cli.main", "controller", "run", "--listen", "", "--cluster", "prod"]
        neutron = {"OS_ENDPOINT": self.endpoint, "BUOY_NEUTRON_SPARE": str(SPARE)}
        environment = {**self.cluster.environment, **neutron, "BUOY_IDENTITY_FILE": str(self._identity)}
        with self.log.open("ab") as log:
            self._controller = subprocess.Popen(command, env=environment, stderr=log)

    def kill_controller(self) -> None:
        """End it at whatever instruction it is."""
        if self._controller is not None:
            self._controller.send_signal(signal.SIGKILL)
            self._controller.wait()

    def replace_controller(self) -> None:
        """Kill it, and have another lead in its place."""
        led = self._led()
        self.kill_controller()
        self.start_controller()
        eventually(self._led, lambda times: times > led, seconds=60)

    def _led(self) -> int:
        return self.log.read_text().count("event=leads ")

    def neutron(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  whatever JSON it answers
        """Return what Neutron's API answers; raise `OSError` if it does not, or says no."""
        raw = json.dumps(body).encode() if body else None
        connection = http.client.HTTPConnection(self.endpoint.removeprefix("http://"), timeout=60)
        with contextlib.closing(connection):
            connection.request(method, f"/v2.0/{path}", raw, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read()
        if response.status >= http.client.BAD_REQUEST:
            raise ConnectionError(said)
        return json.loads(said or b"{}")

    def float(self, **wish: str) -> str:
        """Make a floating IP and return its id."""
        wish = {"floating_network_id": self.network, **wish}
        return str(self.neutron("POST", "floatingips", {"floatingip": wish})["floatingip"]["id"])

    def floating(self) -> list[str]:
        """Return the addresses of floating IPs."""
        found = self.neutron("GET", "floatingips?fields=floating_ip_address")["floatingips"]
        return [each["floating_ip_address"] for each in found]

    def ports(self) -> list[dict[str, Any]]:
        """Return the ports that keep addresses for the cluster."""
        query = "&".join(("device_owner=buoy:service-ip", *SEEN))
        return list(self.neutron("GET", f"ports?{query}")["ports"])

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
        openstack, kubernetes = Lab(fresh_name("both-o")), Lab(fresh_name("both-k"))
        with concurrent.futures.ThreadPoolExecutor() as both:
            ups = both.submit(openstack.up, nodes=1), both.submit(kubernetes.up_kubernetes)
        for lab, up in zip((openstack, kubernetes), ups, strict=True):
            if up.exception() is None:
                stack.callback(lab.down)
        for up in ups:
            up.result()
        made = Worlds(Cloud(openstack), Cluster(kubernetes), tmp_path_factory.mktemp("controller"))
        stack.callback(made.cloud.close)
        kubernetes.service("stop", "controller", "buoy")
        made.cloud.openstack("network", "create", "--external", "public")
        made.cloud.openstack("subnet", "create", "--network", "public", "--subnet-range", PREFIX, "public-v4")
        made.network = made.cloud.get("network", "show", "public")["id"]
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
        except (OSError, http.client.HTTPException, RefusedError):
            return False
        return True

    eventually(done, seconds=seconds)


def patiently(look: Callable[[], Seen], wanted: Callable[[Seen], bool], seconds: float) -> Seen:
    """Look now and then only, at what is much to show, until it is as wanted."""

    def seldom() -> Seen:
        time.sleep(0.5 + EACH / 500)
        return look()

    return eventually(seldom, wanted, seconds)


def test_an_address_of_the_pool_is_announced_and_kept_in_neutron_by_an_unbound_port(worlds: Worlds) -> None:
    cluster = worlds.cluster
    cluster.pod("web", "node-1", {"app": "web"})
    cluster.apply(service("web", externalTrafficPolicy="Local"))
    at = address(worlds, "web")
    cluster.announced(f"{at}/32", "node-1")
    assert "web" in cluster.http(at)
    [kept] = eventually(
        lambda: [each for each in worlds.ports() if each["name"].startswith("prod/default/web/")], seconds=20
    )
    shown = worlds.cloud.get("port", "show", kept["id"])
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


def test_an_address_that_openstack_gave_to_somebody_is_announced_no_more_until_it_is_free(worlds: Worlds) -> None:
    [at] = worlds.cluster.external("web")
    [kept] = [port for port in worlds.ports() if at in [each["ip_address"] for each in port["fixed_ips"]]]
    worlds.neutron("DELETE", f"ports/{kept['id']}")
    taken = worlds.float(floating_ip_address=at)
    # it lists the ports each minute, and when it begins
    worlds.replace_controller()
    worlds.cluster.announced(f"{at}/32", seconds=20)
    assert "not-registered" in {line.get("reason") for line in worlds.cluster.why(at, "node-1")}
    worlds.neutron("DELETE", f"floatingips/{taken}")
    worlds.cluster.announced(f"{at}/32", "node-1", seconds=30)


def test_what_was_put_aside_is_given_while_neutron_is_down_even_by_a_new_controller(worlds: Worlds) -> None:
    eventually(lambda: len([each for each in worlds.ports() if each["name"] == "prod/spare"]), lambda n: n >= SPARE)
    worlds.cloud.lab.service("stop", "controller", "neutron")
    worlds.replace_controller()
    worlds.cluster.apply(*(service(f"bridge-{number}") for number in range(SPARE)))
    found = [address(worlds, f"bridge-{number}") for number in range(SPARE)]
    assert SPARE == len(set(found))
    worlds.cloud.lab.service("start", "controller", "neutron")
    worlds.cloud.lab.wait_ready("controller", "neutron")
    eventually(lambda: {each["name"].split("/")[2] for each in worlds.ports() if each["name"].count("/") == 3},
               lambda names: {f"bridge-{number}" for number in range(SPARE)} <= names, seconds=60)  # fmt: skip


def test_allocations_from_both_sides_never_collide_whatever_is_down_in_between(worlds: Worlds) -> None:
    with concurrent.futures.ThreadPoolExecutor() as threads:
        acts = [threads.submit(act, worlds) for act in (_float, _serve, _break)]
    for act in acts:
        act.result()
    services = patiently(
        lambda: worlds.services("many-"),
        lambda found: EACH == len(found) and all(found.values()),
        seconds=60 + EACH,
    )
    of_services, floating = [each for addresses in services.values() for each in addresses], worlds.floating()
    assert EACH == len(of_services)
    assert EACH <= len(floating)
    everything = [*floating, *of_services]
    assert len(everything) == len(set(everything))
    kept = {fixed["ip_address"] for port in worlds.ports() for fixed in port["fixed_ips"]}
    assert set(of_services) <= kept


def test_ports_go_back_when_their_services_have_gone(worlds: Worlds) -> None:
    names = [*worlds.services("many-"), *worlds.services("bridge-")]
    worlds.cluster.kubectl("delete", "service", "--wait=false", *names)
    worlds.replace_controller()
    rest = len(worlds.services("")) + 2 * SPARE
    patiently(lambda: len(worlds.ports()), lambda count: count <= rest, seconds=60 + EACH)


def _float(worlds: Worlds) -> None:
    """Give floating IPs."""
    for _ in range(EACH):
        persistently(worlds.float)


def _serve(worlds: Worlds) -> None:
    """Make Services."""
    for number in range(0, EACH, AT_ONCE):
        several = [service(f"many-{each}") for each in range(number, min(number + AT_ONCE, EACH))]
        persistently(lambda several=several: worlds.cluster.apply(*several))  # type: ignore[misc]


def _break(worlds: Worlds) -> None:
    """Have either side away for a while, and the controller killed while it leads."""
    for _ in range(BREAKS):
        for lab, name in ((worlds.cloud.lab, "neutron"), (worlds.cluster.lab, "apiserver")):
            time.sleep(AWAY)
            lab.service("kill", "controller", name)
            time.sleep(AWAY)
            lab.service("start", "controller", name)
        for _ in range(3):
            worlds.replace_controller()
            time.sleep(AWAY)
