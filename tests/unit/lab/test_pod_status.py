# SPDX-License-Identifier: Apache-2.0
"""What the lab's kubelet says of pods and nodes."""

from typing import Any

import pytest

from buoy.lab import pod_status

NOW = "2026-01-02T03:04:05Z"


def a_pod(annotations: dict[str, str] | None = None, **metadata: object) -> dict[str, Any]:
    container = {"name": "main", "image": "any", "ports": [{"containerPort": 53, "protocol": "UDP"}]}
    return {"metadata": {"annotations": annotations, **metadata}, "spec": {"containers": [container]}}


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["status"] for each in status["conditions"]}


def running(pod: dict[str, Any], now: str = NOW) -> dict[str, Any]:
    is_ready = pod_status.is_wanted_ready(pod)
    return pod_status.running(pod, ["192.0.2.7", "2001:db8::7"], ["198.51.100.3"], now, is_ready=is_ready)


def test_a_running_pod_has_its_addresses_and_its_nodes() -> None:
    status = running(a_pod())
    assert ("Running", "192.0.2.7", "198.51.100.3") == (status["phase"], status["podIP"], status["hostIP"])
    assert [{"ip": "192.0.2.7"}, {"ip": "2001:db8::7"}] == status["podIPs"]
    assert {"True"} == set(conditions(status).values())


def test_an_unready_pod_runs_all_the_same() -> None:
    status = running(a_pod({"lab.buoy.dev/ready": "false"}))
    assert ("Running", False) == (status["phase"], status["containerStatuses"][0]["ready"])
    assert ["ContainersReady", "Ready"] == sorted(name for name, each in conditions(status).items() if each == "False")


def test_a_status_that_says_nothing_new_is_not_said_again() -> None:
    pod = {**a_pod(), "status": running(a_pod())}
    later = running(pod, "2026-01-02T04:00:00Z")
    assert not pod_status.differs(later, pod["status"])
    pod["metadata"]["annotations"] = {"lab.buoy.dev/ready": "false"}
    assert pod_status.differs(running(pod, "2026-01-02T04:00:00Z"), pod["status"])


def test_a_condition_of_somebody_else_stays() -> None:
    theirs = {"type": "example.com/gate", "status": "False"}
    pod = {**a_pod(), "status": {"conditions": [theirs]}}
    assert theirs in running(pod)["conditions"]


@pytest.mark.parametrize(
    ("annotation", "grace", "seconds"),
    [(None, 30, 1.0), ("5", 30, 5.0), ("50", 30, 30.0), ("x", 30, 1.0), ("5", 0, 0.0)],
)
def test_a_deleted_pod_ends_when_it_wants_but_not_after_its_grace(
    annotation: str | None, grace: int, seconds: float
) -> None:
    asked = {"lab.buoy.dev/terminates-for": annotation} if annotation else None
    assert seconds == pod_status.ending_seconds(a_pod(asked, deletionGracePeriodSeconds=grace))


def test_a_pod_listens_on_the_ports_of_its_containers_and_on_8080_without() -> None:
    bare = {"metadata": {}, "spec": {"containers": [{"name": "main", "image": "any"}]}}
    assert (("53/udp",), ("8080",)) == (pod_status.ports(a_pod()), pod_status.ports(bare))


def test_a_node_that_is_well_says_so_and_keeps_what_others_say_of_it() -> None:
    theirs = {"type": "NetworkUnavailable", "status": "True"}
    unknown = {"type": "Ready", "status": "Unknown"}
    found = {"metadata": {"name": "node-1"}, "status": {"conditions": [theirs, unknown]}}
    status = pod_status.ready_node(found, ["192.0.2.3", "2001:db8::3"], NOW)
    assert {"NetworkUnavailable": "True", "Ready": "True"} == conditions(status)
    assert (False, True) == (pod_status.is_ready_node(found), pod_status.is_ready_node({"status": status}))
    assert ["InternalIP", "InternalIP", "Hostname"] == [each["type"] for each in status["addresses"]]
