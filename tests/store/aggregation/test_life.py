# SPDX-License-Identifier: Apache-2.0
"""Servers come and go: what clients notice, and what is served by the CRDs themselves."""

import http.client
import json
import signal
import ssl
import subprocess
import sys
import threading
import time

import pytest

from buoy.aggregation.registration import Place, api_service
from tests.store.aggregation.cluster import CALICO, NAME, NAMESPACE, Cluster, free_port, said, wait_for
from tests.store.aggregation.server import Server, lead, leave, renew, serving

CREATE = "kubectl create -f -"
PEER = json.dumps(
    {
        "apiVersion": "projectcalico.org/v3", "kind": "BGPPeer", "metadata": {"name": "tor"},
        "spec": {"peerIP": "192.0.2.1", "asNumber": 64512},
    }
)  # fmt: skip
PATCH = """kubectl patch bgppeer.projectcalico.org tor -p '{"spec":{"asNumber":64513}}'"""


def delete(cluster: Cluster) -> None:
    said(cluster.kubectl("kubectl delete bgppeers.v3crd.projectcalico.org --all"))


def through(cluster: Cluster, server: Server) -> list[object]:
    """Ask the server itself as the front proxy; return status and what becomes of the connection."""
    trust = ssl.create_default_context(cafile=str(server.cert))
    trust.check_hostname = False
    shown = cluster.directory / "front-proxy-client.crt"
    trust.load_cert_chain(shown, shown.with_suffix(".key"))
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=10, context=trust)
    connection.request("GET", f"{CALICO}/v3/bgppeers", headers={"X-Remote-User": "ann"})
    response = connection.getresponse()
    connection.close()
    return [response.status, response.headers.get("Connection")]


def test_without_the_server_the_crds_serve_v3_and_a_patch_needs_its_type_named(cluster: Cluster) -> None:
    said(cluster.kubectl(CREATE, PEER))
    assert "application/strategic-merge-patch+json is not supported" in cluster.kubectl(PATCH).stderr
    assert "bgppeer.projectcalico.org/tor patched\n" == said(cluster.kubectl(f"{PATCH} --type merge"))
    delete(cluster)


def test_a_server_that_is_gone_is_replaced_by_the_crds_when_its_apiservice_is_deleted(cluster: Cluster) -> None:
    with serving(cluster) as server:
        lead(cluster, server)
        said(cluster.kubectl(CREATE, PEER))
        said(cluster.kubectl(PATCH))
        server.process.kill()
        server.process.wait()
        wait_for("kube-apiserver to notice", lambda: 503 == cluster.ask("GET", f"{CALICO}/v3/bgppeers")[0])
        # what agents watch is not the server's
        assert 200 == cluster.ask("GET", f"{CALICO}/v3crd/bgppeers")[0]
        assert "v3crd" in {version["version"] for version in cluster.ask("GET", CALICO)[1]["versions"]}
        said(cluster.kubectl("kubectl delete apiservice v3.projectcalico.org"))
        leave(cluster)
        assert 64513 == cluster.ask("GET", f"{CALICO}/v3/bgppeers/tor")[1]["spec"]["asNumber"]
        said(cluster.kubectl(f"{PATCH} --type merge"))
        delete(cluster)


def test_a_server_that_is_killed_and_started_again_goes_on(cluster: Cluster) -> None:
    with serving(cluster, name="again") as first:
        lead(cluster, first)
        said(cluster.kubectl(CREATE, PEER))
        first.process.kill()
        first.process.wait()
        with serving(cluster, f"--listen=127.0.0.1:{first.port}", name="again"):
            wait_for("a patch", lambda: 0 == cluster.kubectl(PATCH).returncode)
        leave(cluster)
        delete(cluster)


def test_a_certificate_is_exchanged_without_a_request_that_fails(cluster: Cluster) -> None:
    with serving(cluster, "--renewal=0.2", name="renewed") as server:
        lead(cluster, server)
        failed: list[object] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                status, told = cluster.ask("GET", f"{CALICO}/v3/bgppeers")
                if status != 200:
                    failed.append(told)

        asking = threading.Thread(target=ask)
        asking.start()
        old = server.cert.read_text()
        new_cert, new_key = server.cert.with_name("next.crt"), server.key.with_name("next.key")
        renew(new_cert, new_key)
        # as `buoy aggregation certificate` does: both are trusted before either replica shows the new one
        cluster.api.apply(api_service(Place(NAMESPACE, NAME), new_cert.read_text() + old, server.port))
        time.sleep(1)
        # one file after the other: between the two they do not fit together
        new_key.rename(server.key)
        time.sleep(0.5)
        new_cert.rename(server.cert)
        wait_for("the new certificate", lambda: "certificates exchanged" in server.log.read_text())
        cluster.api.apply(api_service(Place(NAMESPACE, NAME), server.cert.read_text(), server.port))
        time.sleep(1)
        over.set()
        asking.join()
        assert [] == failed
        assert "certificates are as before" in server.log.read_text()
        leave(cluster)


def test_a_server_told_to_end_says_so_where_readiness_is_asked_and_serves_on_for_a_while(cluster: Cluster) -> None:
    with serving(cluster, "--farewell=2", name="ending") as server:
        lead(cluster, server)
        assert [200, None] == through(cluster, server)
        server.process.send_signal(signal.SIGTERM)
        wait_for("readiness to end", lambda: not server.is_ready())
        assert 200 == cluster.ask("GET", f"{CALICO}/v3/bgppeers")[0]
        assert [200, "close"] == through(cluster, server)
        assert 0 == server.process.wait(10)
        assert "Traceback" not in server.log.read_text()
        leave(cluster)


def test_a_server_waits_for_an_api_server_that_is_away_until_it_is_told_to_end(cluster: Cluster) -> None:
    away = cluster.directory / "away.kubeconfig"
    away.write_text(cluster.config("admin").read_text().replace(f":{cluster.port}", f":{free_port()}"))
    with serving(cluster, f"--kubeconfig={away}", name="waiting", ready=False) as server:
        wait_for("the server to wait", lambda: "waiting for the API server" in server.log.read_text())
        assert not server.is_ready()
        server.process.send_signal(signal.SIGTERM)
        assert 0 == server.process.wait(10)
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--cert=/nowhere"], "--cert: '/nowhere' is not valid"),
        (["--listen=8443"], "--listen: '8443' is not valid: give host:port"),
        (["--listen=192.0.2.9:8443"], "--listen: '192.0.2.9:8443' is not valid: give an address of this host"),
        (["--kubeconfig=/nowhere"], "kubeconfig: '/nowhere' is not valid"),
    ],
)
def test_what_cannot_work_is_said_at_once(cluster: Cluster, options: list[str], told: str) -> None:
    files = [f"--{part}={cluster.directory / part}" for part in ("cert", "key")]
    renew(cluster.directory / "cert", cluster.directory / "key")
    command = [sys.executable, "-m", "buoy.cli.main", "aggregation", "run", *files]
    command += [
        f"--kubeconfig={cluster.config('admin')}",
        f"--listen=127.0.0.1:{free_port()}",
        f"--health=127.0.0.1:{free_port()}",
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=30)
    assert (2, True) == (done.returncode, told in done.stderr), done.stderr
