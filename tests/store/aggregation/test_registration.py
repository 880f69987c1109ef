# SPDX-License-Identifier: Apache-2.0
"""Installing and removing the server: the manifests, and the command that makes the certificate."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import yaml

from buoy.aggregation.registration import MANAGER, Place, api_service
from buoy.aggregation.versions import Json
from tests.store.aggregation.cluster import CALICO, MANIFESTS, NAME, NAMESPACE, Cluster, packaged, said, wait_for
from tests.store.aggregation.server import REGISTRATION, is_own, leave

APPLY = f"kubectl apply -k {MANIFESTS / 'aggregation'}"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/buoy-aggregation-tls"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
END = "-----END CERTIFICATE-----\n"


@pytest.fixture
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with everything of the packaging's; nothing runs its pods."""
    said(cluster.kubectl(APPLY))
    yield cluster
    said(cluster.kubectl(f"kubectl delete -k {MANIFESTS / 'aggregation'} --wait=false"))
    for path in (SECRET, f"{SLICES}/{NAME}"):
        cluster.api.delete(path)
    leave(cluster)
    # the other tests' server needs its account
    for each in packaged("account.yaml"):
        cluster.api.apply(each)


def endpoint(cluster: Cluster, *, ready: bool) -> None:
    """Do what the endpoint slice controller does for a replica."""
    labels = {"kubernetes.io/service-name": NAME}
    cluster.api.apply(
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
            "endpoints": [{"addresses": ["192.0.2.7"], "conditions": {"ready": ready}}],
            "ports": [{"name": "https", "port": 8443}],
        }
    )  # fmt: skip


def certificate(cluster: Cluster) -> subprocess.Popen[str]:
    """Begin the command as the Job runs it, with the Job's rights."""
    config = cluster.give("certificate", f"token: {cluster.token(NAMESPACE, 'buoy-aggregation-certificate')}")
    command = [sys.executable, "-m", "buoy.cli.main", "aggregation", "certificate", f"--kubeconfig={config}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def spec(cluster: Cluster) -> Json:
    return cluster.ask("GET", REGISTRATION)[1]["spec"]


def secret(cluster: Cluster) -> dict[str, str]:
    data = cluster.ask("GET", SECRET)[1].get("data", {})
    return {name: base64.b64decode(text).decode() for name, text in data.items()}


def test_what_is_installed_leaves_v3_with_the_crds_until_a_replica_answers(installed: Cluster) -> None:
    assert is_own(installed)
    assert 200 == installed.ask("GET", f"{CALICO}/v3/bgppeers")[0]
    _, found = installed.ask("GET", REGISTRATION)
    assert "false" == found["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"]
    assert "" == said(installed.kubectl(APPLY.replace("apply", "diff")))


def test_the_job_makes_a_certificate_and_leads_v3_to_the_service_once_a_replica_is_ready(installed: Cluster) -> None:
    endpoint(installed, ready=False)
    with certificate(installed) as command:
        wait_for("the secret", lambda: bool(secret(installed)))
        time.sleep(1.5)
        assert is_own(installed)
        endpoint(installed, ready=True)
        told, _ = command.communicate(timeout=60)
    assert (0, "projectcalico.org/v3 is served by buoy-system/buoy-aggregation\n") == (
        command.returncode,
        told.splitlines(keepends=True)[-1],
    )
    assert {"namespace": NAMESPACE, "name": NAME, "port": 443} == spec(installed)["service"]
    held = secret(installed)
    assert held["tls.crt"] == held["ca.crt"] == base64.b64decode(spec(installed)["caBundle"]).decode()
    # what is applied again is what the packaging says, and that says nothing of where v3 is led
    said(installed.kubectl(APPLY))
    assert NAME == spec(installed)["service"]["name"]


def test_another_certificate_is_trusted_beside_the_one_before(installed: Cluster) -> None:
    endpoint(installed, ready=True)
    shown: list[str] = []
    for _ in range(4):
        with certificate(installed) as command:
            told, _ = command.communicate(timeout=60)
            assert 0 == command.returncode, told
        shown.insert(0, secret(installed)["tls.crt"])
    trusted = base64.b64decode(spec(installed)["caBundle"]).decode()
    assert "".join(shown[:3]) == trusted == secret(installed)["ca.crt"]


def test_requests_that_are_led_to_anothers_server_are_left_to_it(installed: Cluster) -> None:
    endpoint(installed, ready=True)
    calicos = api_service(Place("calico-system", "calico-api"), "")
    installed.api.apply(calicos)
    with certificate(installed) as command:
        told, _ = command.communicate(timeout=60)
    assert (4, True) == (command.returncode, "served by calico-system/calico-api" in told)
    assert ({}, "calico-api") == (secret(installed), spec(installed)["service"]["name"])


def test_killed_at_any_moment_it_is_run_again(installed: Cluster) -> None:
    endpoint(installed, ready=True)
    for moment in (0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        with certificate(installed) as command:
            time.sleep(moment)
            command.kill()
        held = secret(installed)
        if "service" in spec(installed):
            assert held["tls.crt"] in base64.b64decode(spec(installed)["caBundle"]).decode()
    with certificate(installed) as command:
        command.communicate(timeout=60)
    assert secret(installed)["ca.crt"] == base64.b64decode(spec(installed)["caBundle"]).decode()


def test_removed_everything_is_as_before(cluster: Cluster) -> None:
    said(cluster.kubectl(APPLY))
    said(cluster.kubectl(f"kubectl delete -k {MANIFESTS / 'aggregation'} --wait=false"))
    leave(cluster)
    assert 200 == cluster.ask("GET", f"{CALICO}/v3/bgppeers")[0]
    for each in packaged("account.yaml"):
        cluster.api.apply(each)


def test_the_deployment_serves_what_the_service_and_its_certificate_lead_to() -> None:
    (service,) = packaged("service.yaml")
    deployment = packaged("deployment.yaml")[0]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert service["spec"]["selector"] == deployment["template"]["metadata"]["labels"]
    assert {"https": 8443, "health": 8081} == ports
    assert "https" == service["spec"]["ports"][0]["targetPort"]
    assert ["aggregation", "run", "--cert=/tls/tls.crt", "--key=/tls/tls.key"] == container["args"]
    assert "buoy-aggregation-tls" == pod["volumes"][0]["secret"]["secretName"]
    assert 2 == deployment["replicas"]


def test_the_manifests_are_all_in_the_kustomization() -> None:
    listed = yaml.safe_load((MANIFESTS / "aggregation" / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in (MANIFESTS / "aggregation").glob("*.yaml")} - {"kustomization.yaml"}
    assert there == set(listed)
    assert "buoy-aggregation" == MANAGER
    assert json.dumps(packaged("apiservice.yaml")).count("caBundle") == 0
