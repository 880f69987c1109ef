# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes lab: the real control plane and kube-proxy, and pods that live and die as a kubelet's do."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from buoy.lab import pod, vm
from buoy.lab.control import LabError
from buoy.lab.kube_api import Refused
from buoy.lab.kubernetes import CLIENT_ADDRESSES, Plan
from buoy.lab.lab import Lab
from buoy.lab.pod import Wish
from tests.lab import traces
from tests.lab.conftest import fresh_name

BUOY = [sys.executable, "-m", "buoy.cli.main"]
# without Buoy, so that it shows what the lab itself does
WITHOUT = ("agent", "buoy", "aggregation", "node-1/bird")
ADDRESSES = ("203.0.113.10", "2001:db8:ff::10")
SERVICE = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
    "spec": {
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "ipFamilyPolicy": "RequireDualStack",
        "allocateLoadBalancerNodePorts": False, "selector": {"app": "web"},
        "ports": [{"port": 80, "targetPort": 8080}],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Lab]:
    """A lab with a dual-stack Service ``web`` whose addresses the ToR sends to node-1 by a static route."""
    lab = Lab(fresh_name()).up_kubernetes(Plan(without=(*WITHOUT, "node-2/bird")))
    server = pod.api(lab)
    server.create("/api/v1/namespaces/default/services", SERVICE)
    status = {"status": {"loadBalancer": {"ingress": [{"ip": address} for address in ADDRESSES]}}}
    server.merge("/api/v1/namespaces/default/services/web/status", status)
    for address, gateway in zip(ADDRESSES, ("192.168.8.3", "fd00:8::3"), strict=True):
        lab.exec("tor", "ip", "route", "add", address, "via", gateway)
    yield lab
    lab.down()


@pytest.fixture
def web(cluster: Lab) -> Iterator[dict[str, Any]]:
    """A ready pod of the Service on node-1; gone afterwards."""
    yield pod.run(cluster, Wish(name="web-1", node="node-1", labels={"app": "web"}))
    for left in pod.listing(cluster, "default"):
        pod.delete(cluster, "default", left["name"])


def soon(look: Callable[[], object], wanted: object, seconds: float = 10) -> object:
    """Look until it is as wanted, or time is over; return what was seen last."""
    deadline = time.monotonic() + seconds
    while (seen := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return seen


def endpoints(lab: Lab) -> dict[str, tuple[bool, bool, bool]]:
    """Return of each pod of the Service whether it is ready, serving, terminating, as the IPv4 slice says."""
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dweb"
    slices = [one for one in pod.api(lab).get(path)["items"] if one["addressType"] == "IPv4"]
    found = {each["targetRef"]["name"]: each["conditions"] for one in slices for each in one["endpoints"] or ()}
    return {name: (each["ready"], each["serving"], each["terminating"]) for name, each in found.items()}


def fetched(lab: Lab, url: str) -> str:
    return lab.exec("client", "curl", "-sS", "-m2", url, check=False).stdout


def is_ready(lab: Lab, node: str) -> bool:
    conditions = pod.api(lab).get(f"/api/v1/nodes/{node}")["status"]["conditions"]
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


@pytest.mark.usefixtures("web")
def test_a_client_behind_the_tor_is_answered_and_its_address_is_seen_in_the_pod(cluster: Lab) -> None:
    client4, client6 = CLIENT_ADDRESSES
    assert f"web-1 {client4}\n" == soon(lambda: fetched(cluster, "http://203.0.113.10/"), f"web-1 {client4}\n")
    wanted = f"web-1 {client6}\n"
    assert wanted == soon(lambda: fetched(cluster, "http://[2001:db8:ff::10]/"), wanted)


def test_pods_of_two_nodes_reach_each_other_over_tcp_and_udp(cluster: Lab, web: dict[str, Any]) -> None:
    other = pod.run(cluster, Wish(name="dns", node="node-2", ports=("53/udp", "8080")))
    [source4, source6], [address4, address6] = web["addresses"], other["addresses"]
    assert f"dns {source4}\n" == cluster.exec("default/web-1", "curl", "-sS", f"http://{address4}:8080/").stdout
    assert f"dns {source6}\n" == cluster.exec("default/web-1", "curl", "-sS", f"http://[{address6}]:8080/").stdout
    ask = f"exec 3<>/dev/udp/{address4}/53; echo >&3; timeout 5 dd bs=99 count=1 status=none <&3"
    assert f"dns {source4}\n" == cluster.exec("default/web-1", "bash", "-c", ask).stdout


@pytest.mark.usefixtures("web")
def test_a_pod_that_is_not_ready_is_no_endpoint_until_it_is(cluster: Lab) -> None:
    assert {"web-1": (True, True, False)} == soon(lambda: endpoints(cluster), {"web-1": (True, True, False)})
    assert not pod.set_ready(cluster, "default", "web-1", is_ready=False)["ready"]
    assert {"web-1": (False, False, False)} == soon(lambda: endpoints(cluster), {"web-1": (False, False, False)})
    assert pod.set_ready(cluster, "default", "web-1", is_ready=True)["ready"]
    assert {"web-1": (True, True, False)} == soon(lambda: endpoints(cluster), {"web-1": (True, True, False)})


def test_a_deleted_pod_serves_through_its_grace_and_is_gone_then(cluster: Lab) -> None:
    made = pod.run(cluster, Wish(name="web-2", node="node-2", labels={"app": "web"}, terminates_for=3))
    pod.delete(cluster, "default", "web-2", wait=False)
    assert {"web-2": (False, True, True)} == soon(lambda: endpoints(cluster), {"web-2": (False, True, True)})
    [row] = pod.listing(cluster, "default")
    assert ("Terminating", True) == (row["state"], row["ready"])
    url = f"http://{made['addresses'][0]}:8080/"
    assert "web-2 192.168.8.4\n" == cluster.exec("node-2", "curl", "-sS", url).stdout
    assert [] == soon(lambda: pod.listing(cluster, "default"), [])
    assert {} == soon(lambda: endpoints(cluster), {})
    assert "pod" not in cluster.exec("node-2", "ip", "-o", "link").stdout
    assert 0 != cluster.exec("node-2", "curl", "-sS", "-m2", url, check=False).returncode


def test_a_name_is_run_again_with_another_address(cluster: Lab, web: dict[str, Any]) -> None:
    pod.delete(cluster, "default", "web-1")
    again = pod.run(cluster, Wish(name="web-1", node="node-1", labels={"app": "web"}))
    assert web["addresses"] != again["addresses"]


@pytest.mark.usefixtures("web")
def test_a_node_that_is_cut_off_is_not_ready_nor_are_its_pods_until_it_recovers(cluster: Lab) -> None:
    assert "failed" == cluster.node("fail", "node-1")["state"]
    assert soon(lambda: is_ready(cluster, "node-1"), wanted=False, seconds=20) is False
    assert {"web-1": (False, False, False)} == soon(lambda: endpoints(cluster), {"web-1": (False, False, False)})
    assert is_ready(cluster, "node-2")
    assert "on" == cluster.node("recover", "node-1")["state"]
    assert soon(lambda: is_ready(cluster, "node-1"), wanted=True)
    assert {"web-1": (True, True, False)} == soon(lambda: endpoints(cluster), {"web-1": (True, True, False)})


def test_a_node_that_was_switched_off_runs_its_pods_anew(cluster: Lab, web: dict[str, Any]) -> None:
    inside = cluster.exec("default/web-1", "readlink", "/proc/self/ns/net").stdout.strip()
    cluster.node("stop", "node-1")
    assert inside not in traces.namespaces()
    cluster.node("start", "node-1")
    wanted = f"web-1 {CLIENT_ADDRESSES[0]}\n"
    assert wanted == soon(lambda: fetched(cluster, "http://203.0.113.10/"), wanted, seconds=20)
    assert [web["name"]] == [row["name"] for row in pod.listing(cluster, "default")]


def test_a_killed_kubelet_leaves_its_pods_alone_and_minds_them_once_it_is_back(
    cluster: Lab, web: dict[str, Any]
) -> None:
    before = cluster.exec("default/web-1", "readlink", "/proc/self/ns/net").stdout
    cluster.service("kill", "node-1", "kubelet")
    assert "web-1 192.168.8.3\n" == cluster.exec("node-1", "curl", "-sS", f"{web['addresses'][0]}:8080").stdout
    cluster.service("start", "node-1", "kubelet")
    cluster.wait_ready("node-1", "kubelet")
    assert not pod.set_ready(cluster, "default", "web-1", is_ready=False)["ready"]
    assert before == cluster.exec("default/web-1", "readlink", "/proc/self/ns/net").stdout
    pod.delete(cluster, "default", "web-1")
    assert "pod" not in cluster.exec("node-1", "ip", "-o", "link").stdout


def test_a_pod_that_kubectl_makes_is_run_too(cluster: Lab) -> None:
    plain = {"containers": [{"name": "main", "image": "any"}], "nodeName": "node-2"}
    cluster.client("kubectl", "run", "plain", "--image=any", f"--overrides={json.dumps({'spec': plain})}")
    cluster.client("kubectl", "wait", "--for=condition=Ready", "pod/plain")
    cluster.client("kubectl", "delete", "pod", "plain", "--now")
    assert [] == pod.listing(cluster, "default")


def test_pods_of_a_deployment_are_spread_and_replaced(cluster: Lab) -> None:
    cluster.client("kubectl", "create", "deployment", "many", "--image=any", "--replicas=4")
    cluster.client("kubectl", "rollout", "status", "deployment/many", "--timeout=20s")
    rows = pod.listing(cluster, "default")
    assert {"node-1": 2, "node-2": 2} == Counter(row["node"] for row in rows)
    assert 4 == len({row["addresses"][0] for row in rows if row["ready"]})
    pod.delete(cluster, "default", rows[0]["name"])
    assert 4 == soon(lambda: sum(row["ready"] for row in pod.listing(cluster, "default")), 4)
    cluster.client("kubectl", "delete", "deployment", "many")
    assert [] == soon(lambda: pod.listing(cluster, "default"), [])


def test_a_pod_on_the_nodes_own_network_has_the_nodes_addresses(cluster: Lab) -> None:
    on_host = {"hostNetwork": True, "nodeName": "node-2", "containers": [{"name": "main", "image": "any"}]}
    cluster.client("kubectl", "run", "ingress", "--image=any", f"--overrides={json.dumps({'spec': on_host})}")
    cluster.client("kubectl", "wait", "--for=condition=Ready", "pod/ingress")
    [row] = pod.listing(cluster, "default")
    assert ["192.168.8.4", "fd00:8::4"] == row["addresses"]
    assert f"ingress {CLIENT_ADDRESSES[0]}\n" == fetched(cluster, "http://192.168.8.4:8080/")
    pod.delete(cluster, "default", "ingress")
    assert "" == fetched(cluster, "http://192.168.8.4:8080/")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(name="x", node="node-9"), "--node node-9: pods can be on node-1, node-2"),
        (Wish(name="x", node="controller"), "--node controller: pods can be on"),
        (Wish(name="x", node="node-1", namespace="nowhere"), 'namespaces "nowhere" not found'),
        (Wish(name="x", node="node-1", labels={"a b": "c"}), "a b"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_and_leaves_nothing(cluster: Lab, wish: Wish, words: str) -> None:
    with pytest.raises((LabError, Refused), match=words):
        pod.run(cluster, wish)
    assert [] == pod.listing(cluster)


def test_a_guest_of_openstack_is_refused_with_what_makes_one(cluster: Lab) -> None:
    with pytest.raises(LabError, match="is no OpenStack lab: `buoy lab up openstack`"):
        vm.boot(cluster, vm.Wish(name="x", port="y", host="node-1"), print)


def test_a_name_that_is_taken_is_refused_and_the_pod_stays(cluster: Lab, web: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="already exists"):
        pod.run(cluster, Wish(name="web-1", node="node-2"))
    assert [web] == pod.listing(cluster)


def test_an_account_may_do_what_its_role_says_and_no_more(cluster: Lab) -> None:
    def may(account: str, *words: str) -> str:
        return cluster.exec("node-1", "kubectl", f"--kubeconfig={account}", "auth", "can-i", *words, check=False).stdout

    kubelet, proxy = "/etc/kubernetes/kubelet.kubeconfig", "/etc/kubernetes/kube-proxy.kubeconfig"
    assert ("yes\n", "no\n") == (may(proxy, "list", "endpointslices"), may(proxy, "list", "secrets"))
    assert ("yes\n", "no\n") == (may(kubelet, "update", "nodes/node-1"), may(kubelet, "delete", "services"))


def test_buoys_account_is_a_service_account_whose_token_ends_with_it_and_is_renewed(cluster: Lab) -> None:
    account = "/api/v1/namespaces/buoy-system/serviceaccounts/buoy-agent"

    def who() -> str:
        ask = (
            "kubectl",
            "--kubeconfig=/etc/buoy/kubeconfig",
            "auth",
            "whoami",
            "-o",
            "jsonpath={.status.userInfo.username}",
        )
        return cluster.exec("node-1", *ask, check=False).stdout

    assert "system:serviceaccount:buoy-system:buoy-agent" == who()
    server = pod.api(cluster)
    server.delete(account)
    head = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "buoy-agent"}}
    server.create(account.rpartition("/")[0], head)
    assert "" == soon(who, "", seconds=30)
    cluster.service("stop", "node-1", "kubelet")
    cluster.service("start", "node-1", "kubelet")
    assert "system:serviceaccount:buoy-system:buoy-agent" == soon(who, "system:serviceaccount:buoy-system:buoy-agent")


@pytest.mark.usefixtures("web")
def test_env_and_commands_are_what_a_shell_needs(cluster: Lab) -> None:
    script = 'eval "$("$0" -m buoy.cli.main lab env --name "$1")"; kubectl get node node-1 -o name; buoy lab pod list'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, cluster.name], capture_output=True, text=True, check=True
    )
    assert "node/node-1" == done.stdout.splitlines()[0]
    assert "web-1" in done.stdout
    command = [*BUOY, "lab", "pod", "exec", "--name", cluster.name, "web-1", "--", "sh", "-c", "hostname; exit 7"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (7, "web-1\n") == (ended.returncode, ended.stdout)


def test_with_the_aggregated_server_a_patch_needs_no_type(cluster: Lab) -> None:
    patch = ("kubectl", "patch", "bgpconfiguration.projectcalico.org", "default", "-p", '{"spec": {"asNumber": 64599}}')
    assert "not supported by projectcalico.org/v3" in cluster.client(*patch, check=False).stderr
    lab = Lab(fresh_name()).up_kubernetes(Plan(nodes=1, without=("agent", "buoy", "node-1/bird")))
    try:
        assert "bgpconfiguration.projectcalico.org/default patched\n" == lab.client(*patch).stdout
        lab.client("kubectl", "create", "namespace", "passing")
        lab.client("kubectl", "delete", "namespace", "passing")
    finally:
        lab.down()


def test_kube_proxy_may_speak_iptables_and_after_down_nothing_is_left() -> None:
    lab = Lab(fresh_name())
    try:
        lab.up_kubernetes(Plan(nodes=1, proxy="iptables", without=WITHOUT))
        pod.run(lab, Wish(name="web-1", node="node-1"))
        inside = lab.exec("default/web-1", "readlink", "/proc/self/ns/net").stdout.strip()
        assert "KUBE-SERVICES" in lab.exec("node-1", "iptables-save", "-t", "nat").stdout
        assert "kube-proxy" not in lab.exec("node-1", "nft", "list", "tables").stdout
    finally:
        lab.down()
    assert [] == traces.of(lab.name)
    assert inside not in traces.namespaces()
    assert not lab.directory.exists()
