# SPDX-License-Identifier: Apache-2.0
"""etcd with TLS and accounts: an agent writes of itself only, and outlives tokens and certificates."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from buoy.lab import launch, openstack
from buoy.lab.lab import Lab
from buoy.lab.topology import Probe, Topology
from tests.e2e.bare import Bare, service, service_ip
from tests.e2e.cloud import eventually, fresh_name

NODE = "compute-1"
SECURE = "https://192.168.8.2:2379"
TOKEN_SECONDS = 3
ACCOUNTS = f"""
set -e
cd /run; umask 077
unset BUOY_ETCD; export BUOY_CONFIG=/run/admin.toml
printf '[store]\\nendpoints = ["{SECURE}"]\\nca = "/etc/etcd/ca.pem"\\n' > admin.toml
echo secret > agent.password; echo root > root.password
buoy store account add agent {NODE} --password-file agent.password
buoy store account add writer neutron --certificate
buoy store auth enable --root-password-file root.password
"""


class Guarded(Bare):
    """A cloud whose etcd asks who is there; tests write as root."""

    user = "root:root"

    def etcdctl(self, *words: str, text: str | None = None, check: bool = True) -> str:
        """Run etcdctl as a user and return what it printed, complaints too."""
        options = (f"--endpoints={SECURE}", "--cacert=/etc/etcd/ca.pem", f"--user={self.user}")
        done = self.lab.exec("controller", "env", "ETCDCTL_API=3", "etcdctl", *options, *words, text=text, check=check)
        return done.stdout + done.stderr

    def attempt(self, user: str, path: str) -> str:
        """Return what etcd says when an account writes under a path."""
        self.user = user
        try:
            return self.etcdctl("put", f"/buoy/v1/{path}", "{}", check=False)
        finally:
            self.user = Guarded.user


def _certificates(directory: Path) -> dict[str, str]:
    """Return a new authority's certificate, and one it has issued for the controller, as file texts by name."""
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    ca = ["-subj", f"/CN={time.monotonic_ns()}", "-keyout", "ca.key", "-out", "ca.pem"]
    _openssl(directory, "req", "-x509", *made, *ca)
    _openssl(directory, "req", "-new", *made[:-2], "-subj", "/CN=etcd", "-keyout", "etcd.key", "-out", "etcd.csr")
    (directory / "names").write_text("subjectAltName=IP:192.168.8.2,IP:127.0.0.1\n")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "names"]
    _openssl(directory, "x509", "-req", "-in", "etcd.csr", *signed, "-out", "etcd.pem")
    return {name: (directory / name).read_text() for name in ("ca.pem", "etcd.pem", "etcd.key")}


def _openssl(directory: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)


def _secured(plain: Topology, files: dict[str, str]) -> Topology:
    """Return the lab with TLS between agent and etcd, and short-lived tokens."""
    flags = ("--cert-file=/etc/etcd/etcd.pem", "--key-file=/etc/etcd/etcd.key", f"--auth-token-ttl={TOKEN_SECONDS}")
    settings = 'ca = "/etc/buoy/ca.pem"\nusername = "buoy-agent-compute-1"\npassword_file = "/etc/buoy/password"\n'

    def secured(node: Any) -> Any:  # noqa: ANN401  the lab's Node
        if node.name == openstack.CONTROLLER:
            [etcd] = [one for one in node.services if one.name == "etcd"]
            words = tuple(
                word.replace("http://0", "https://0").replace("http://192", "https://192") for word in etcd.command
            )
            etcd = replace(etcd, command=(*words, *flags), ready=Probe(port=openstack.ETCD_PORT))
            services = tuple(etcd if one.name == "etcd" else one for one in node.services)
            return replace(
                node, services=services, files={**node.files, **{f"/etc/etcd/{n}": t for n, t in files.items()}}
            )
        if node.name == NODE:
            toml = node.files["/etc/buoy/agent.toml"].replace("http://", "https://") + settings
            ours = {"/etc/buoy/agent.toml": toml, "/etc/buoy/ca.pem": files["ca.pem"], "/etc/buoy/password": "secret\n"}
            return replace(node, files={**node.files, **ours})
        return node

    return replace(plain, nodes=tuple(secured(node) for node in plain.nodes))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    plain = openstack.topology(fresh_name("security"), 1, ("neutron", "seed"))
    launch.start(_secured(plain, _certificates(tmp_path_factory.mktemp("ca"))), lambda _: None, 60)
    lab = Lab(plain.name)
    try:
        lab.exec("controller", "sh", "-s", text=ACCOUNTS)
        made = Guarded(lab)
        made.put("settings/bgp", {"asn": 64512})
        made.put("peers/access", {"name": "access", "address": "192.168.8.1", "asn": 64511})
        made.guest(11)
        yield made
    finally:
        lab.down()


def _said(cloud: Guarded, address: str) -> str:
    found = cloud.stored(f"status/{NODE}/address/{address}")
    return str(found["state"]) if found else "nothing"


def test_an_agent_serves_and_reports_with_its_own_account(cloud: Guarded) -> None:
    assert cloud.reaches(service(11))
    eventually(lambda: "active" == _said(cloud, service(11)))


def test_an_expired_token_is_no_end(cloud: Guarded) -> None:
    time.sleep(2 * TOKEN_SECONDS)
    cloud.put("service-ips/172.16.1.95", {**service_ip(11, NODE), "address": "172.16.1.95"})
    eventually(lambda: cloud.reaches("172.16.1.95") and "active" == _said(cloud, "172.16.1.95"))
    cloud.remove("service-ips/172.16.1.95")
    eventually(lambda: "nothing" == _said(cloud, "172.16.1.95"))


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (f"status/{NODE}/address/192.0.2.9", True),
        ("status/compute-2/address/192.0.2.9", False),
        ("nodes/compute-2", False),
        ("service-ips/192.0.2.9", False),
        (f"workloads/{NODE}/w9", False),
        ("peers/access", False),
    ],
)
def test_an_agents_account_writes_of_its_own_node_only(cloud: Guarded, path: str, *, allowed: bool) -> None:
    said = cloud.attempt(f"buoy-agent-{NODE}:secret", path)
    assert (allowed, not allowed) == ("OK" in said, "permission denied" in said)


def test_new_certificates_of_a_new_authority_are_taken_while_running(cloud: Guarded, tmp_path: Path) -> None:
    for name, text in _certificates(tmp_path).items():
        cloud.lab.exec("controller", "sh", "-c", f"cat > /etc/etcd/{name}", text=text)
        if name == "ca.pem":
            cloud.lab.exec(NODE, "sh", "-c", "cat > /etc/buoy/ca.pem", text=text)
    cloud.lab.service("kill", "controller", "etcd")
    cloud.restart("controller", "etcd")
    eventually(lambda: "is healthy" in cloud.etcdctl("endpoint", "health", check=False))
    cloud.put("service-ips/172.16.1.96", {**service_ip(11, NODE), "address": "172.16.1.96"})
    eventually(lambda: cloud.reaches("172.16.1.96") and "active" == _said(cloud, "172.16.1.96"), seconds=20)
    assert cloud.reaches(service(11))
