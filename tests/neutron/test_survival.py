# SPDX-License-Identifier: Apache-2.0
"""What must survive: kill -9, an absent etcd, many requests at once, an empty or a spoiled store."""

import re
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from buoy.model.documents import Document
from buoy.model.group import Member
from buoy.model.service_ip import ServiceIP
from buoy.neutron.reader import KINDS
from buoy.store.store import Write
from tests.freezing import freeze, thaw
from tests.neutron.cloud import Cloud, Process, Refusal, eventually, free_port, running
from tests.neutron.story import Tenant


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of this module's own, for it is killed."""
    yield from running(tmp_path_factory.mktemp("cloud"))


@pytest.fixture(scope="module")
def tenant(cloud: Cloud) -> Tenant:
    """A tenant network behind a router."""
    return Tenant(cloud, 65)


def owned(cloud: Cloud) -> dict[str, Document]:
    """Return the documents that come from Neutron."""
    return {path: document for path, document in cloud.documents().items() if path.split("/")[0] in KINDS}


def targets(cloud: Cloud, fip: dict[str, Any]) -> list[str] | None:
    """Return the workloads a claim leads to."""
    found = cloud.document(f"service-ips/{fip['floating_ip_address']}")
    return [endpoint.workload for endpoint in found.endpoints] if isinstance(found, ServiceIP) else None


def test_changes_made_while_etcd_is_down_arrive_after(cloud: Cloud, tenant: Tenant) -> None:
    port, fip = tenant.port(), tenant.floating_ip()
    assert [] == eventually([], lambda: targets(cloud, fip))
    cloud.etcd.kill()
    cloud.update("floatingip", fip["id"], port_id=port["id"])
    gone = tenant.floating_ip(port_id=tenant.port()["id"])
    cloud.delete("floatingip", gone["id"])
    warning = r"WARNING buoy.* outbox: \d+ changes wait for the store, the oldest for \d+ s; .* etcdctl endpoint health"
    assert True is eventually(True, lambda: re.search(warning, cloud.log()) is not None)
    cloud.etcd.start()
    assert [port["id"]] == eventually([port["id"]], lambda: targets(cloud, fip))
    assert None is targets(cloud, gone)
    assert True is eventually(True, lambda: "outbox: the store has all changes again" in cloud.log())


def test_neutron_killed_between_commit_and_write_loses_nothing(cloud: Cloud, tenant: Tenant) -> None:
    port, fip = tenant.port(), tenant.floating_ip()
    assert [] == eventually([], lambda: targets(cloud, fip))
    freeze(cloud.etcd.pid())
    cloud.update("floatingip", fip["id"], port_id=port["id"])
    cloud.neutron.kill()
    thaw(cloud.etcd.pid())
    assert [] == targets(cloud, fip)
    cloud.neutron.start()
    assert [port["id"]] == eventually([port["id"]], lambda: targets(cloud, fip))


@pytest.fixture
def second(cloud: Cloud) -> Iterator[tuple[Process, int]]:
    """A second API worker on the same database."""
    port = free_port()
    process = cloud.another_server(port)
    process.start()
    yield process, port
    process.kill()


def a_hundred(cloud: Cloud, tenant: Tenant) -> list[tuple[str, str, object]]:
    """Return calls that make, change and delete ports and floating IPs, each another one."""
    wish = {"network_id": tenant.network["id"], "binding:host_id": "compute-1", "device_owner": "compute:nova"}
    public = tenant.public["id"]
    ports = [port["id"] for port in cloud.call("POST", "ports", {"ports": [wish] * 50})["ports"]]
    moving = [tenant.floating_ip()["id"] for _ in range(10)]
    leads = [{"floatingip": {"floating_network_id": public, "port_id": port}} for port in ports[:20]]
    names = [{"port": {"name": port, "fixed_ips": []}} for port in ports[30:40]]
    return [
        *(("POST", "ports", {"port": wish}) for _ in range(50)),
        *(("POST", "floatingips", lead) for lead in leads),
        *(
            ("PUT", f"floatingips/{one}", {"floatingip": {"port_id": port}})
            for one, port in zip(moving, ports[20:30], strict=True)
        ),
        *(("PUT", f"ports/{port}", name) for port, name in zip(ports[30:40], names, strict=True)),
        *(("DELETE", f"ports/{port}", None) for port in ports[40:]),
    ]


def test_a_hundred_operations_at_once_through_two_workers(
    cloud: Cloud, tenant: Tenant, second: tuple[Process, int]
) -> None:
    calls = a_hundred(cloud, tenant)
    assert 100 == len(calls)
    together = threading.Barrier(len(calls))

    def act(number: int) -> list[str]:
        together.wait()
        try:
            cloud.call(*calls[number], second[1] if number % 2 else None)
        except Refusal as refusal:
            return [f"{calls[number]}: {refusal}"]
        return []

    with ThreadPoolExecutor(len(calls)) as pool:
        refused = [line for lines in pool.map(act, range(len(calls))) for line in lines]
    assert [] == refused
    assert 0 == eventually(0, lambda: cloud.compare()[0])
    claims = [document for document in owned(cloud).values() if isinstance(document, ServiceIP)]
    shown = cloud.call("GET", "floatingips")["floatingips"]
    assert {fip["floating_ip_address"] for fip in shown} == {claim.address for claim in claims}


def test_the_comparison_repairs_what_is_missing_stale_and_orphaned(cloud: Cloud, tenant: Tenant) -> None:
    port = tenant.port()
    at = f"workloads/compute-1/{port['id']}"
    assert True is eventually(True, lambda: at in cloud.documents())
    before = owned(cloud)
    group = port["security_groups"][0]
    orphan = Member(group=group, prefix="192.0.2.1/32")  # type: ignore[arg-type]
    network = f"networks/{tenant.network['id']}"
    stale = cloud.documents()[network]
    cloud.write(
        Write(at, None),
        Write(f"members/{group}/192.0.2.1/32", orphan),
        Write(network, type(stale)(id=tenant.network["id"], name="wrong")),  # type: ignore[call-arg]
    )
    code, text = cloud.compare()
    assert (1, ["missing", "orphan", "stale"]) == (code, sorted(line.split()[0] for line in text.splitlines()[:-1]))
    assert before == eventually(before, lambda: owned(cloud))
    assert 0 == cloud.compare()[0]


def test_documents_a_broken_client_wrote_are_written_anew(cloud: Cloud, tenant: Tenant) -> None:
    at = f"subnets/{tenant.subnet['id']}"
    before = cloud.document(at)
    subprocess.run(
        ["etcdctl", "--endpoints", cloud.etcd_url, "put", f"/buoy/v1/{at}", "{nonsense"],
        check=True,
        capture_output=True,
        env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    assert None is cloud.document(at)
    assert 1 == cloud.compare()[0]
    assert before == eventually(before, lambda: cloud.document(at))


def test_an_empty_database_does_not_empty_the_store(cloud: Cloud, tenant: Tenant, tmp_path: Path) -> None:
    assert tenant.network
    full = owned(cloud)
    url = f"sqlite:///{tmp_path}/neutron.sqlite"
    cloud.prepare(url)
    config = tmp_path / "neutron.conf"
    text = (cloud.directory / "neutron.conf").read_text()
    config.write_text(re.sub(r"(?m)^connection = .*", f"connection = {url}", text))
    code, printed = cloud.compare_at(config)
    assert (2, True) == (code, "--confirm" in printed)
    assert set() == full.keys() - owned(cloud).keys()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("endpoints", "http://127.0.0.1:1", "buoy store status"),
        ("endpoints", "http://127.0.0.1:1,https://127.0.0.1:2", "use https:// for all of them"),
        ("connection", "sqlite:////nowhere/neutron.sqlite", "unable to open database file"),
    ],
)
def test_a_comparison_that_cannot_be_made_says_why_and_ends(
    cloud: Cloud, tmp_path: Path, option: str, value: str, said: str
) -> None:
    config = tmp_path / "neutron.conf"
    text = re.sub(rf"(?m)^{option} = .*\n", "", (cloud.directory / "neutron.conf").read_text())
    section = "[database]" if option == "connection" else "[buoy]"
    config.write_text(text.replace(section, f"{section}\n{option} = {value}"))
    code, printed = cloud.compare_at(config)
    assert (3, True) == (code, said in printed), printed


def test_no_row_is_left_and_nothing_failed(cloud: Cloud) -> None:
    assert 0 == eventually(0, lambda: cloud.compare()[0])
    assert [] == [line for line in cloud.log().splitlines() if " ERROR buoy" in line]
