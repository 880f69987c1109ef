# SPDX-License-Identifier: Apache-2.0
"""A cloud whose etcd asks everybody for a certificate and an account, and an authority whose certificates last seconds.

compute-1 and Neutron have an account with a password, whose tokens expire; compute-2's is its certificate's name.
"""

import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from buoy.lab import openstack
from buoy.lab.lab import Lab
from buoy.lab.topology import Node, Probe, Topology
from tests.e2e.cloud import Cloud, eventually

SECURE = "https://192.168.8.2:2379"
TOKEN_SECONDS = 3
HOLDERS = {
    "etcd": ("controller", "/etc/etcd"),
    "neutron": ("controller", "/etc/neutron/tls"),
    "operator": ("controller", "/etc/buoy"),
    "buoy-agent-compute-1": ("compute-1", "/etc/buoy"),
    "buoy-agent-compute-2": ("compute-2", "/etc/buoy"),
}
"""Whom a certificate is issued to: where it stands as cert.pem, beside key.pem and ca.pem."""
SETTINGS = '\nca = "{at}/ca.pem"\ncert = "{at}/cert.pem"\nkey = "{at}/key.pem"\n'
ACCOUNT = 'username = "{name}"\npassword_file = "{at}/password"\n'
PREPARE = """
set -e
cd /run; umask 077; echo neutron > n; echo agent > a; echo root > r
buoy store account add writer buoy-neutron --password-file n
buoy store account add agent compute-1 --password-file a
buoy store account add agent compute-2 --certificate
buoy store account add writer operator --certificate
buoy peer add access --address 192.168.8.1 --asn 64511 --bfd-interval 100 --bfd-multiplier 5
buoy store auth enable --root-password-file r
"""
OPENSSL = """
[ca]
default_ca = one
[one]
database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = names
x509_extensions = uses
[names]
commonName = supplied
[uses]
subjectAltName = IP:192.168.8.2
extendedKeyUsage = serverAuth,clientAuth
"""
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Issues certificates for as long as one likes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        (directory / "openssl.cnf").write_text(OPENSSL)
        (directory / "index.txt").touch()
        self._openssl("req", "-x509", *EC, "-days", "1", "-subj", "/CN=lab", "-keyout", "ca.key", "-out", "ca.pem")

    def issue(self, name: str, end: datetime) -> dict[str, str]:
        """Return a new certificate that ends at a moment, its key and the authority's own, as texts by file name."""
        self._openssl("req", "-new", *EC, "-subj", f"/CN={name}", "-keyout", "key.pem", "-out", "request")
        dates = ("-startdate", "20200101000000Z", "-enddate", f"{end:%Y%m%d%H%M%SZ}")
        signed = ("-config", "openssl.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", "request")
        self._openssl("ca", "-batch", "-notext", *signed, *dates, "-out", "cert.pem")
        return {file: (self._directory / file).read_text() for file in ("cert.pem", "key.pem", "ca.pem")}

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._directory, check=True, capture_output=True)


def topology(name: str, authority: Authority) -> Topology:
    """Return the lab with its secured etcd; what a lab's store holds from the start is the operator's to write."""
    plain = openstack.topology(name, 2, ("seed",))
    return replace(plain, nodes=tuple(_secured(node, authority) for node in plain.nodes))


def _secured(node: Node, authority: Authority) -> Node:
    files = dict(node.files)
    for holder, (machine, at) in HOLDERS.items():
        if machine == node.name:
            issued = authority.issue(holder, datetime.now(tz=UTC) + timedelta(hours=1))
            files |= {f"{at}/{file}": text for file, text in issued.items()}
    if node.name == openstack.CONTROLLER:
        return _controller(replace(node, files=files))
    if node.name.startswith("compute"):
        text = files["/etc/buoy/agent.toml"].replace("http://", "https://") + SETTINGS.format(at="/etc/buoy")
        if node.name == "compute-1":
            text += ACCOUNT.format(name="buoy-agent-compute-1", at="/etc/buoy")
            files["/etc/buoy/password"] = "agent\n"
        files["/etc/buoy/agent.toml"] = text
    return replace(node, files=files)


def _controller(node: Node) -> Node:
    at = "/etc/neutron/tls"
    lines = (SETTINGS + ACCOUNT).format(at=at, name="buoy-neutron").replace('"', "")
    conf = node.files["/etc/neutron/neutron.conf"].replace("endpoints = http:", "endpoints = https:")
    ours = {
        "/etc/neutron/neutron.conf": conf + lines,
        f"{at}/password": "neutron\n",
        "/etc/buoy/agent.toml": f'[store]\nendpoints = ["{SECURE}"]{SETTINGS.format(at="/etc/buoy")}',
    }
    flags = ("--cert-file=/etc/etcd/cert.pem", "--key-file=/etc/etcd/key.pem", f"--auth-token-ttl={TOKEN_SECONDS}",
             "--client-cert-auth", "--trusted-ca-file=/etc/etcd/ca.pem")  # fmt: skip
    [etcd] = [one for one in node.services if one.name == "etcd"]
    words = (word.replace("http://0", "https://0").replace("http://192", "https://192") for word in etcd.command)
    etcd = replace(etcd, command=(*words, *flags), ready=Probe(port=openstack.ETCD_PORT))
    services = tuple(etcd if one.name == "etcd" else one for one in node.services)
    return replace(node, services=services, files={**node.files, **ours})


class Secured(Cloud):
    """Such a cloud."""

    def __init__(self, lab: Lab, authority: Authority) -> None:
        super().__init__(lab)
        self._authority = authority
        lab.exec("controller", "env", "-u", "BUOY_ETCD", "sh", "-s", text=PREPARE)

    def renew(self, seconds: float) -> datetime:
        """Put new certificates and keys in the place of everybody's, and return when they will end."""
        end = datetime.now(tz=UTC) + timedelta(seconds=seconds)
        for holder, (machine, at) in HOLDERS.items():
            for file, text in self._authority.issue(holder, end).items():
                # as whoever renews certificates does: never half a file
                words = f"cat > {at}/.new && mv {at}/.new {at}/{file}"
                self.lab.exec(machine, "sh", "-ec", words, text=text)
        return end

    def cut(self) -> None:
        """End every connection with etcd, as a middle box does, and see that they have ended."""
        before = self._connections()
        self.on("controller", "ss", "-KHtn", "sport", "=", ":2379")
        eventually(lambda: not before & self._connections())

    def _connections(self) -> set[str]:
        seen = self.on("controller", "ss", "-Htn", "state", "established", "sport", "=", ":2379")
        return {line.split()[-1] for line in seen.splitlines()}


def wait_until(end: datetime) -> None:
    """Wait until a certificate's end is a second ago."""
    time.sleep(max(0.0, (end - datetime.now(tz=UTC)).total_seconds() + 1))
