"""What must survive: kill -9, an absent etcd, many requests at once, an empty or a spoiled store."""

import signal
import subprocess
import sys
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
from tests.neutron.cloud import Cloud, Process, Refusal, eventually, free_port
from tests.neutron.story import Tenant


@pytest.fixture(scope="module")
def tenant(cloud: Cloud) -> Tenant:
    """A tenant network behind a router."""
    return Tenant(cloud, 65)


def compare(cloud: Cloud, *words: str) -> tuple[int, str]:
    """Run the comparison; return its exit code and what it printed."""
    command = [sys.executable, "-m", "buoy.neutron.compare_now", "--config-file", str(cloud.directory / "neutron.conf")]
    run = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    return run.returncode, run.stdout


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
    cloud.etcd.start()
    assert [port["id"]] == eventually([port["id"]], lambda: targets(cloud, fip))
    assert None is targets(cloud, gone)


def test_neutron_killed_between_commit_and_write_loses_nothing(cloud: Cloud, tenant: Tenant) -> None:
    port, fip = tenant.port(), tenant.floating_ip()
    assert [] == eventually([], lambda: targets(cloud, fip))
    cloud.etcd.signal(signal.SIGSTOP)
    cloud.update("floatingip", fip["id"], port_id=port["id"])
    cloud.neutron.kill()
    cloud.etcd.signal(signal.SIGCONT)
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


def one_life(cloud: Cloud, tenant: Tenant, number: int, api: int | None) -> list[str]:
    """Create a bound port; every second with a floating IP, every fourth deleted again; return what was refused."""
    network = {"network_id": tenant.network["id"], "binding:host_id": "compute-1", "device_owner": "compute:nova"}
    try:
        port = cloud.call("POST", "ports", {"port": network}, api)["port"]
        if number % 2:
            body = {"floating_network_id": tenant.public["id"], "port_id": port["id"]}
            cloud.call("POST", "floatingips", {"floatingip": body}, api)
        if number % 4 == 1:
            cloud.call("DELETE", f"ports/{port['id']}", None, api)
    except Refusal as refusal:
        return [str(refusal)]
    return []


def test_a_hundred_operations_at_once_through_two_workers(
    cloud: Cloud, tenant: Tenant, second: tuple[Process, int]
) -> None:
    with ThreadPoolExecutor(100) as pool:
        lives = [pool.submit(one_life, cloud, tenant, n, second[1] if n % 3 == 0 else None) for n in range(100)]
        refusals = [refusal for life in lives for refusal in life.result()]
    assert [] == refusals
    assert 0 == eventually(0, lambda: compare(cloud)[0])
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
    code, text = compare(cloud)
    assert (1, ["missing", "orphan", "stale"]) == (code, sorted(line.split()[0] for line in text.splitlines()[:-1]))
    assert before == eventually(before, lambda: owned(cloud))
    assert 0 == compare(cloud)[0]


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
    assert 1 == compare(cloud)[0]
    assert before == eventually(before, lambda: cloud.document(at))


def test_an_empty_database_does_not_empty_the_store(cloud: Cloud, tenant: Tenant, tmp_path: Path) -> None:
    assert tenant.network
    full = owned(cloud)
    other = Cloud(tmp_path)
    other.etcd, other.etcd_url = cloud.etcd, cloud.etcd_url
    config = tmp_path / "neutron.conf"
    config.write_text(config.read_text().replace(_endpoints(config), _endpoints(cloud.directory / "neutron.conf")))
    other.neutron.start()
    try:
        code, text = compare(other)
        assert (2, True) == (code, "--confirm" in text)
        assert set() == full.keys() - owned(cloud).keys()
    finally:
        other.neutron.kill()


def _endpoints(config: Path) -> str:
    return next(line for line in config.read_text().splitlines() if line.startswith("endpoints"))


def test_no_row_is_left_and_nothing_failed(cloud: Cloud) -> None:
    assert 0 == eventually(0, lambda: compare(cloud)[0])
    assert [] == [line for line in cloud.log().splitlines() if " ERROR buoy" in line]
