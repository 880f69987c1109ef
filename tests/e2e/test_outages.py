# SPDX-License-Identifier: Apache-2.0
"""etcd and Neutron away, killed, full, or set back to a backup: traffic goes on, and changes arrive after."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, eventually
from tests.e2e.watching import no_packet_lost

AWAY = 60
"""Seconds: as long as the promise says that etcd, Neutron, or both are away."""
BACKUP = "/var/lib/backup.db"
RESTORE = (
    f"rm -rf /var/lib/etcd && etcdctl snapshot restore {BACKUP} --name lab --data-dir /var/lib/etcd"
    " --initial-cluster lab=http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380"
)
COMPARE = f"{sys.executable} -m buoy.neutron.compare_now --config-file /etc/neutron/neutron.conf"


@pytest.fixture(scope="module")
def served(cloud: Cloud) -> dict[str, list[str]]:
    """Two guests by name, each with its addresses: IPv4, IPv6 and floating."""
    found = {}
    for name, node in (("one", "compute-1"), ("two", "compute-2")):
        guest = cloud.boot(name, node, network="calico")
        floating = cloud.get("floating", "ip", "create", "public", "--port", guest["port"])["floating_ip_address"]
        found[name] = [*guest["addresses"], floating]
    every = [address for addresses in found.values() for address in addresses]
    eventually(
        lambda: all(cloud.lab.exec("access", "ping", "-nc1", "-W1", one, check=False).returncode == 0 for one in every)
    )
    return found


@pytest.fixture
def port(cloud: Cloud, served: dict[str, list[str]]) -> str:
    """The port of guest one."""
    return _port(cloud, "one")


def _port(cloud: Cloud, name: str) -> str:
    [found] = [guest["port"] for guest in cloud.lab.status()["guests"] if guest["name"] == name]
    return str(found)


def _add(cloud: Cloud, port: str, address: str) -> None:
    """Give a port another fixed IP, as a service IP is given."""
    cloud.openstack("port", "set", "--fixed-ip", f"subnet=calico-v4,ip-address={address}", port)


def _take(cloud: Cloud, port: str, *addresses: str) -> None:
    for address in addresses:
        cloud.openstack("port", "unset", "--fixed-ip", f"subnet=calico-v4,ip-address={address}", port)
    eventually(lambda: not set(addresses) & cloud.routes("access").keys(), seconds=10)


@contextmanager
def _away(cloud: Cloud, name: str, seconds: float) -> Iterator[None]:
    """Let a service of the controller be away for at least so long, killed as by a power cut."""
    end = time.monotonic() + seconds
    cloud.lab.service("kill", "controller", name)
    try:
        yield
        time.sleep(max(0.0, end - time.monotonic()))
    finally:
        cloud.lab.service("start", "controller", name)
        cloud.lab.wait_ready("controller", name, 90)


def test_a_minute_without_etcd_and_neutron_loses_no_packet_and_no_change(
    cloud: Cloud, served: dict[str, list[str]], port: str
) -> None:
    """Neutron is away within etcd's outage: it takes changes before, ends with them untold, and again after."""
    addresses = [*served["one"], *served["two"]]
    early, late = (cloud.get("floating", "ip", "create", "public")["floating_ip_address"] for _ in range(2))
    eventually(lambda: all(_stored(cloud, each) for each in (early, late)))
    with no_packet_lost(cloud, "access", addresses):
        with _away(cloud, "etcd", seconds=0):
            _add(cloud, port, "10.65.0.71")
            cloud.openstack("floating", "ip", "delete", early)
            with _away(cloud, "neutron", seconds=AWAY):
                pass
            _add(cloud, port, "10.65.0.72")
            cloud.openstack("floating", "ip", "delete", late)
            assert not {"10.65.0.71", "10.65.0.72"} & cloud.routes("access").keys()
        eventually(lambda: {"10.65.0.71", "10.65.0.72"} <= cloud.routes("access").keys(), seconds=4)
    eventually(lambda: not any(_stored(cloud, each) for each in (early, late)), seconds=4)
    _take(cloud, port, "10.65.0.71", "10.65.0.72")


def _stored(cloud: Cloud, address: str) -> bool:
    """Tell whether etcd has a document of this service IP."""
    key = f"/buoy/v1/service-ips/{address}"
    return key in cloud.on("controller", "etcdctl", "--endpoints=http://192.168.8.2:2379", "get", "--keys-only", key)


def test_etcd_killed_during_writes_loses_none_of_them(cloud: Cloud, port: str) -> None:
    wanted = [f"10.65.0.{number}" for number in (73, 74, 75, 76)]

    def write() -> None:
        for address in wanted:
            _add(cloud, port, address)

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(3):
        with _away(cloud, "etcd", seconds=0.5):
            pass
    writer.join()
    eventually(lambda: set(wanted) <= cloud.routes("access").keys(), seconds=10)
    _take(cloud, port, *wanted)


def test_a_full_etcd_takes_nothing_and_what_it_missed_arrives_after(
    cloud: Cloud, served: dict[str, list[str]], port: str
) -> None:
    alarm = json.dumps({"action": "ACTIVATE", "alarm": "NOSPACE"})
    with no_packet_lost(cloud, "access", served["one"]):
        cloud.on("controller", "curl", "-sf", "http://192.168.8.2:2379/v3/maintenance/alarm", "-d", alarm)
        _add(cloud, port, "10.65.0.77")
        assert "10.65.0.77" not in cloud.routes("access")
        cloud.on("controller", "etcdctl", "--endpoints=http://192.168.8.2:2379", "alarm", "disarm")
        eventually(lambda: "10.65.0.77" in cloud.routes("access"), seconds=10)
    _take(cloud, port, "10.65.0.77")


def _etcd(cloud: Cloud, *words: str) -> str:
    return cloud.on("controller", "etcdctl", "--endpoints=http://192.168.8.2:2379", *words)


def _revision(cloud: Cloud, key: str = "") -> int:
    """Return how far etcd has come, or when a key was last written."""
    found = json.loads(_etcd(cloud, "get", key or "/", "-w", "json"))
    return int(found["kvs"][0]["mod_revision"] if key else found["header"]["revision"])


def _sleep(cloud: Cloud, port: str) -> int:
    """Kill the agent of guest two once it has kept what it needs to know a restore; return how far etcd had come."""
    written = _revision(cloud, f"/buoy/v1/workloads/compute-2/{port}")
    kept = ("cat", "/var/lib/buoy/store.json")
    eventually(lambda: json.loads(cloud.on("compute-2", *kept)).get("witness", 0) > written, seconds=15)
    cloud.lab.service("kill", "compute-2", "agent")
    return _revision(cloud)


def _wake(cloud: Cloud, until: int) -> None:
    """Start the agent of guest two after others have written until etcd has come further than ever before."""
    missing = until - _revision(cloud) + 5
    assert missing > 5
    _etcd(cloud, "put", "/elsewhere", "0")
    every = "for each in $(seq {}); do etcdctl --endpoints=http://192.168.8.2:2379 put /elsewhere $each; done"
    cloud.on("controller", "sh", "-c", every.format(missing))
    cloud.lab.service("start", "compute-2", "agent")
    cloud.lab.wait_ready("compute-2", "agent")


@pytest.fixture(params=["listens", "restarts", "sleeps"])
def set_back(cloud: Cloud, served: dict[str, list[str]], request: pytest.FixtureRequest) -> Iterator[str]:
    """Give guest two an address, and set etcd back to a backup of before; Neutron is away, and the agent may be."""
    port, address = _port(cloud, "two"), "10.65.0.81"
    _etcd(cloud, "snapshot", "save", BACKUP)
    _add(cloud, port, address)
    eventually(lambda: address in cloud.routes("access"))
    cloud.lab.service("stop", "controller", "neutron")
    reached = _sleep(cloud, port) if request.param == "sleeps" else 0
    cloud.lab.service("kill", "controller", "etcd")
    cloud.on("controller", "sh", "-c", RESTORE)
    cloud.lab.service("start", "controller", "etcd")
    cloud.lab.wait_ready("controller", "etcd")
    if reached:
        _wake(cloud, reached)
    yield address
    cloud.lab.service("start", "controller", "neutron")
    cloud.lab.wait_ready("controller", "neutron", 90)
    # every ten minutes Neutron compares by itself; a person need not wait for it
    cloud.lab.exec("controller", *COMPARE.split(), check=False)
    # a removal that the store never hears of waits for a person: let it hear of the address first
    eventually(lambda: address in cloud.buoy("show", "workloads", "-o", "json"), seconds=10)
    eventually(lambda: address in cloud.routes("access"), seconds=10)
    _take(cloud, port, address)


def _plan(cloud: Cloud) -> tuple[int, str]:
    done = cloud.lab.exec("compute-2", "buoy", "plan", "-o", "json", check=False)
    return done.returncode, done.stdout


def _why(cloud: Cloud, address: str) -> Any:  # noqa: ANN401  JSON
    return json.loads(cloud.buoy("why", address, "-o", "json", node="compute-2", check=False))


def test_after_a_restore_nothing_is_withdrawn_without_a_person(
    cloud: Cloud, served: dict[str, list[str]], set_back: str, request: pytest.FixtureRequest
) -> None:
    eventually(lambda: _plan(cloud)[0] == 5, seconds=20)
    [agent] = request.node.callspec.params.values()
    if agent == "restarts":
        cloud.lab.service("kill", "compute-2", "agent")
        cloud.lab.service("start", "compute-2", "agent")
        cloud.lab.wait_ready("compute-2", "agent")
    eventually(lambda: _plan(cloud)[0] == 5, seconds=20)
    assert any(set_back in step["act"] and step["held"] for step in json.loads(_plan(cloud)[1]))
    assert any(line["reason"] == "held-by-guard" for line in _why(cloud, set_back))
    assert ("witness" if agent == "sleeps" else "went back") in cloud.buoy("status", check=False)
    assert {set_back, *(address for address in served["two"] if "." in address)} <= cloud.routes("access").keys()
    if agent != "listens":
        return
    cloud.buoy("agent", "release-guard", node="compute-2")
    eventually(lambda: set_back not in cloud.routes("access"), seconds=4)
    assert 0 == _plan(cloud)[0]
    assert {address for address in served["two"] if "." in address} <= cloud.routes("access").keys()
