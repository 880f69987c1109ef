# SPDX-License-Identifier: Apache-2.0
"""Buoy's own manifests on a cluster that never saw it: what ``kubectl apply -k packaging/kubernetes`` gives."""

import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buoy.lab import pod
from buoy.lab.kubernetes import MANIFESTS, Plan
from buoy.lab.lab import Lab
from buoy.lab.pod import Wish
from tests.lab.conftest import fresh_name

ADDRESS = "203.0.113.7"
HOPS = {"192.168.8.3", "192.168.8.4"}
PATIENCE = 60.0
CONFIGURED = [
    ("projectcalico.org/v3", "BGPConfiguration", "default", {"asNumber": 64512}),
    ("projectcalico.org/v3", "BGPPeer", "tor", {"peerIP": "192.168.8.1", "asNumber": 64511}),
    ("metallb.io/v1beta1", "IPAddressPool", "public", {"addresses": [f"{ADDRESS}/32"]}),
]


@pytest.fixture(scope="module")
def installed() -> Iterator[Lab]:
    """A cluster on which Buoy was installed and given a ToR and a pool, with a Service that has its one address."""
    lab = Lab(fresh_name()).up_kubernetes(Plan(bare=True))
    try:
        lab.client("kubectl", "apply", "-k", str(MANIFESTS))
        await_rollout(lab)
        server = pod.api(lab)
        for version, kind, name, spec in CONFIGURED:
            place = {"name": name, "namespace": "buoy-system"} if kind == "IPAddressPool" else {"name": name}
            server.apply({"apiVersion": version, "kind": kind, "metadata": place, "spec": spec})
        for node in ("node-1", "node-2"):
            pod.run(lab, Wish(name=f"web-{node}", node=node, labels={"app": "web"}))
        spec = {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
        server.create("/api/v1/namespaces/default/services", {"metadata": {"name": "web"}, "spec": spec})
        await_so(lambda: hops(lab) == HOPS, "the ToR has both nodes as next hops")
        yield lab
    finally:
        lab.down()


MAY = [
    ("agent", "list services -A", "yes"),
    ("agent", "list endpointslices -A", "yes"),
    ("agent", "patch nodestatuses", "yes"),
    ("agent", "patch leases -n buoy-system", "yes"),
    ("agent", "list secrets -A", "no"),
    ("agent", "get secrets -n buoy-system", "no"),
    ("agent", "patch leases -n kube-node-lease", "no"),
    ("agent", "patch nodes", "no"),
    ("agent", "delete pods -A", "no"),
    ("agent", "create pods --subresource=exec -A", "no"),
    ("agent", "patch services --subresource=status -A", "no"),
    ("agent", "create serviceips", "no"),
    ("agent", "patch pools", "no"),
    ("agent", "create fences", "no"),
    ("agent", "get namespaces/default", "no"),
    ("controller", "patch services --subresource=status -A", "yes"),
    ("controller", "create serviceips", "yes"),
    ("controller", "list secrets -A", "no"),
    ("controller", "delete services -A", "no"),
    ("controller", "patch pools", "no"),
    ("controller", "patch bgppeers", "no"),
    ("controller", "patch ingresses -A", "no"),
    ("controller", "patch nodestatuses", "no"),
    ("controller", "patch leases/buoy-agent-node-1 -n buoy-system", "no"),
    ("controller", "create clusterrolebindings", "no"),
]


def await_rollout(lab: Lab) -> None:
    for workload in ("daemonset/buoy-agent", "deployment/buoy-controller"):
        lab.client(
            "kubectl", "rollout", "status", workload, "-n", "buoy-system", f"--timeout={PATIENCE:.0f}s", timeout=90
        )


def await_so(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.1)


def controllers(lab: Lab) -> set[str]:
    listed = pod.listing(lab, "buoy-system")
    return {row["name"] for row in listed if row["labels"].get("app.kubernetes.io/name") == "buoy-controller"}


def name_kept_by(lab: Lab, controller: str) -> str:
    return lab.exec(f"buoy-system/{controller}", "cat", "/run/buoy/controller").stdout.partition("_")[0]


def hops(lab: Lab) -> set[str]:
    words = lab.exec("tor", "ip", "route", "show", ADDRESS).stdout.split()
    return {after for word, after in itertools.pairwise(words) if word == "via"}


def asked(lab: Lab) -> str:
    return lab.exec("client", "curl", "-sS", "-m5", f"http://{ADDRESS}/", check=False).stdout


@contextmanager
def watched(lab: Lab, log: Path) -> Iterator[None]:
    """Write down what becomes of the ToR's routes."""
    with log.open("w") as output:
        watching = subprocess.Popen(lab.command("tor", ["stdbuf", "-oL", "ip", "monitor", "route"]), stdout=output)
        try:
            yield
        finally:
            watching.kill()
            watching.wait()


def test_a_service_gets_an_address_that_is_announced_and_answers(installed: Lab) -> None:
    await_so(lambda: asked(installed).startswith("web-node-"), "the Service answers")


def test_an_update_of_the_agents_moves_no_next_hop_and_loses_no_request(installed: Lab, tmp_path: Path) -> None:
    await_so(lambda: asked(installed).startswith("web-node-"), "the Service answers")
    log = tmp_path / "routes"
    with watched(installed, log):
        installed.client("kubectl", "rollout", "restart", "daemonset/buoy-agent", "-n", "buoy-system")
        lost = [1 for _ in range(40) if not asked(installed).startswith("web-node-")]
        await_rollout(installed)
    assert [] == lost
    assert HOPS == hops(installed)
    assert [] == [line for line in log.read_text().splitlines() if "Deleted" in line and ADDRESS in line]


def test_an_agents_pod_can_be_asked_why_and_what_it_wrote(installed: Lab) -> None:
    [name] = [row["name"] for row in pod.listing(installed, "buoy-system")
              if row["node"] == "node-1" and row["name"].startswith("buoy-agent-")]  # fmt: skip
    # whether all is well a moment after a rollout is not the question here
    assert ADDRESS in installed.exec(f"buoy-system/{name}", "buoy", "why", ADDRESS, check=False).stdout
    assert "BIRD" in pod.log(installed, "buoy-system", name) or "Started" in pod.log(installed, "buoy-system", name)


def test_a_controller_that_is_deleted_is_followed_by_another(installed: Lab) -> None:
    lease = "/apis/coordination.k8s.io/v1/namespaces/buoy-system/leases/buoy-controller"
    server = pod.api(installed)
    first = server.get(lease)["spec"]["holderIdentity"]
    [leader] = controllers(installed) & {first.partition("_")[0]}
    pod.delete(installed, "buoy-system", leader, wait=False)
    await_so(lambda: server.get(lease)["spec"].get("holderIdentity") not in ("", first), "another leads")
    assert HOPS == hops(installed)
    await_rollout(installed)
    there = controllers(installed) - {leader}
    # none has the name of one that was on its node before it: a lease tells which pod leads
    assert there == {name_kept_by(installed, name) for name in there}
    assert server.get(lease)["spec"]["holderIdentity"].partition("_")[0] in there


@pytest.mark.parametrize(("account", "what", "answer"), MAY, ids=[" ".join(row) for row in MAY])
def test_an_account_may_do_what_it_does_and_no_more(installed: Lab, account: str, what: str, answer: str) -> None:
    who = f"--as=system:serviceaccount:buoy-system:buoy-{account}"
    assert answer == installed.client("kubectl", who, "auth", "can-i", *what.split(), check=False).stdout.strip()


def test_applied_again_nothing_changes(installed: Lab) -> None:
    # `kubectl diff` ends with an error if anything would
    assert "" == installed.client("kubectl", "diff", "-k", str(MANIFESTS)).stdout


def test_the_aggregated_servers_manifests_are_accepted(installed: Lab) -> None:
    server = str(MANIFESTS / "aggregation")
    said = installed.client("kubectl", "apply", "--dry-run=server", "-k", server).stdout.splitlines()
    assert "job.batch/buoy-aggregation-certificate created (server dry run)" in said


def test_uninstalled_nothing_of_buoy_is_left_on_a_node(installed: Lab) -> None:
    def of_buoy() -> str:
        shown = "nft list tables; ip route show table all proto 205; ls /etc/buoy /var/lib/buoy"
        said = installed.exec("node-2", "sh", "-c", shown, check=False).stdout
        return " ".join(word for word in said.split() if word in {"buoy", "bird.conf", "store.json", "205"})

    assert "buoy buoy bird.conf store.json" == of_buoy()
    installed.client("kubectl", "delete", "service", "web")
    orders = ("--type", "json", "--patch-file", str(MANIFESTS / "cleanup.yaml"))
    installed.client("kubectl", "patch", "daemonset", "-n", "buoy-system", "buoy-agent", *orders)
    await_rollout(installed)
    assert "" == of_buoy()
    installed.client("kubectl", "delete", "-k", str(MANIFESTS), timeout=60)
    assert "buoy" not in installed.client("kubectl", "get", "namespaces,crd").stdout
