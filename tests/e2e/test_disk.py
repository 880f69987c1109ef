# SPDX-License-Identifier: Apache-2.0
"""The controller's disk is full, etcd's or Neutron's: traffic goes on, nothing is half done, all arrives after."""

from collections.abc import Callable

import pytest

from tests.e2e.api import Neutron
from tests.e2e.cloud import ClientError, Cloud, eventually
from tests.e2e.watching import no_packet_lost

ETCDCTL = ("env", "ETCDCTL_API=3", "etcdctl", "--endpoints=http://192.168.8.2:2379", "--command-timeout=2s")
PAGE = 4096
RESERVE = 4 * 1024 * 1024
"""Bytes that Neutron wants to be free on its disk."""
FULL = "The disk of /var/lib/neutron is full, nothing was changed. Leave 4 MiB free there, and repeat."


class Disk:
    """A small file system of its own for the state of one of the controller's services."""

    def __init__(self, cloud: Cloud, service: str, megabytes: int) -> None:
        self._cloud = cloud
        self._place = place = f"/var/lib/{service}"
        cloud.lab.service("stop", "controller", service)
        # copied by way of another place: what is mounted hides what was there
        copied = f"cp -a {place} /run/tmp/{service} && mount -t tmpfs -o size={megabytes}m tmpfs {place}"
        cloud.on("controller", "sh", "-ec", f"{copied} && cp -a --sparse=always /run/tmp/{service}/. {place}")
        cloud.lab.service("start", "controller", service)
        cloud.lab.wait_ready("controller", service, 90)

    def fill(self, spare: int = 0) -> None:
        """Leave so many bytes and no more."""
        words = f"cat /dev/zero > {self._place}/fill 2> /dev/null; truncate -s -{spare} {self._place}/fill"
        self._cloud.on("controller", "sh", "-c", words)

    def free(self) -> None:
        """Take away what fills it."""
        self._cloud.on("controller", "rm", "-f", f"{self._place}/fill")


@pytest.fixture(scope="module")
def port(cloud: Cloud) -> str:
    """The port of a guest that can be reached."""
    guest = cloud.boot("one", "compute-1", network="calico")
    eventually(lambda: "10.65.0." in " ".join(cloud.routes("access")), seconds=20)
    return str(guest["port"])


@pytest.fixture(scope="module")
def addresses(cloud: Cloud, port: str) -> list[str]:
    """Its addresses."""
    floating = cloud.get("floating", "ip", "create", "public", "--port", port)["floating_ip_address"]
    found = [one["ip_address"] for one in cloud.get("port", "show", port)["fixed_ips"]] + [floating]
    ping = ("ping", "-nc1", "-W1")
    eventually(lambda: all(not cloud.lab.exec("access", *ping, each, check=False).returncode for each in found))
    return found


@pytest.fixture(scope="module")
def api(cloud: Cloud) -> Neutron:
    return Neutron([cloud.lab.env()["OS_ENDPOINT"].removeprefix("http://")])


def _add(port: str, address: str) -> tuple[str, ...]:
    return ("port", "set", "--fixed-ip", f"subnet=calico-v4,ip-address={address}", port)


def _restarts(cloud: Cloud) -> int:
    """Return how often etcd was started again by itself."""
    [unit] = [one for one in cloud.lab.services() if (one["node"], one["service"]) == ("controller", "etcd")]
    return int(unit["restarts"])


def test_an_etcd_whose_disk_is_full_takes_nothing_and_with_room_everything_arrives(
    cloud: Cloud, port: str, addresses: list[str]
) -> None:
    disk = Disk(cloud, "etcd", 48)
    unused = cloud.get("floating", "ip", "create", "public")["floating_ip_address"]
    cloud.openstack(*_add(port, "10.65.0.70"))
    eventually(lambda: "10.65.0.70" in cloud.routes("access"))
    before = _restarts(cloud)
    with no_packet_lost(cloud, "access", addresses):
        disk.fill()
        # more than what is left of the last page
        assert "" == cloud.lab.exec("controller", *ETCDCTL, "put", "large", text="x" * 50_000, check=False).stdout
        cloud.openstack(*_add(port, "10.65.0.71"))
        cloud.openstack("port", "unset", "--fixed-ip", "subnet=calico-v4,ip-address=10.65.0.70", port)
        cloud.openstack("floating", "ip", "delete", unused)
        # twice: it died of it, and again of what it found when it came back
        eventually(lambda: _restarts(cloud) >= before + 2, seconds=30)
        [log] = cloud.lab.log_files("controller", "etcd")
        assert "no space left on device" in log.read_text()
        disk.free()
        cloud.lab.wait_ready("controller", "etcd")
        eventually(lambda: {"10.65.0.71"} == {"10.65.0.70", "10.65.0.71"} & cloud.routes("access").keys(), seconds=10)
    stored = cloud.on("controller", *ETCDCTL, "get", "--prefix", "/buoy/v1/")
    assert (False, True) == (unused in stored, "10.65.0.71" in stored)


@pytest.fixture(scope="module")
def disk(cloud: Cloud, port: str) -> Disk:
    return Disk(cloud, "neutron", 32)


def _state(api: Neutron) -> dict[str, object]:
    """Return what the API shows of ports and floating IPs, but for when."""
    return {one["id"]: one for kind in ("ports", "floatingips", "networks") for one in api.all(kind)}


def test_a_neutron_whose_disk_is_full_refuses_every_change_whole_and_goes_on_reading(
    cloud: Cloud, port: str, addresses: list[str], disk: Disk, api: Neutron
) -> None:
    changes: list[Callable[[], str]] = [
        lambda: cloud.openstack(*_add(port, "10.65.0.72")),
        lambda: cloud.openstack("floating", "ip", "create", "public", "--floating-ip-address", "172.16.1.99"),
        lambda: cloud.openstack("floating", "ip", "delete", addresses[-1]),
        lambda: cloud.openstack("network", "create", "another"),
    ]
    before = _state(api)
    with no_packet_lost(cloud, "access", addresses[:-1]):
        disk.fill()
        for change in changes:
            with pytest.raises(ClientError) as refused:
                change()
            assert [True, True] == [words in refused.value.err for words in ("507", FULL)]
        assert before == _state(api)
        cloud.lab.service("kill", "controller", "neutron")
        cloud.lab.service("start", "controller", "neutron")
        disk.free()
        cloud.lab.wait_ready("controller", "neutron", 90)
        assert before == _state(api)
        for change in changes:
            change()
        eventually(lambda: "10.65.0.72" in cloud.routes("access") and addresses[-1] not in cloud.routes("access"))


def test_a_disk_that_fills_while_neutron_works_leaves_no_port_without_its_floating_ip(
    cloud: Cloud, disk: Disk, api: Neutron
) -> None:
    [public] = api.all("networks", "name=public")
    disk.fill(RESERVE + 100 * PAGE)
    answers = []
    while 507 not in answers:
        answers.append(api.ask("POST", "floatingips", {"floatingip": {"floating_network_id": public["id"]}}).status)
    disk.free()
    assert [201, 507] == sorted(set(answers))
    owners = {one["device_id"] for one in api.all("ports", "device_owner=network:floatingip")}
    assert {one["id"] for one in api.all("floatingips")} == owners
