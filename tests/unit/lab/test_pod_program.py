# SPDX-License-Identifier: Apache-2.0
"""What the lab runs for pods of Buoy's own manifests."""

import sys
from typing import Any

import pytest
import yaml

from buoy.lab import pod_program
from buoy.lab.kubernetes import MANIFESTS

ADDRESSES, HOST = ["192.0.2.7", "2001:db8::7"], ["198.51.100.3", "2001:db8:3::3"]


def a_pod(manifest: str) -> dict[str, Any]:
    """Return the pod that the first object of a file wants, on node-1."""
    wanted = next(yaml.safe_load_all((MANIFESTS / manifest).read_text()))
    spec = {**wanted["spec"]["template"]["spec"], "nodeName": "node-1"}
    return {"metadata": {"name": "it", "namespace": "buoy-system", "uid": "1-2"}, "spec": spec}


def orders(manifest: str) -> dict[str, dict[str, Any]]:
    made = pod_program.orders(a_pod(manifest), ADDRESSES, HOST)
    return {each["name"]: each for each in (*made["init"], *made["containers"])}


def test_an_agent_is_told_its_node_before_it_and_bird_start() -> None:
    pod = a_pod("agent.yaml")
    made = pod_program.orders(pod, HOST, HOST)
    assert (["settings"], ["agent", "bird"]) == (
        [each["name"] for each in made["init"]],
        [each["name"] for each in made["containers"]],
    )
    [settings] = made["init"]
    assert ("node-1", ",".join(HOST)) == (settings["environment"]["NODE_NAME"], settings["environment"]["HOST_IPS"])


def test_programs_have_their_capabilities_alone_and_end_as_they_are_told() -> None:
    made = orders("agent.yaml")
    assert "--bounding-set=-all,+net_admin,+net_raw,+dac_override" in made["agent"]["command"]
    assert ["-m", "buoy.cli.main", "agent", "run"] == made["agent"]["command"][-4:]
    assert ["birdc", "-s", "/run/buoy/bird.ctl", "graceful", "restart"] == made["bird"]["before_end"]


def test_probes_are_asked_where_they_are_served() -> None:
    assert ["127.0.0.1", 9705, "/readyz"] == orders("agent.yaml")["agent"]["probe"]
    assert [ADDRESSES[0], 9706, "/readyz"] == orders("controller.yaml")["controller"]["probe"]
    assert [] == orders("agent.yaml")["bird"]["probe"]


def test_directories_that_are_empty_at_first_are_a_pods_own_and_those_of_its_node_are_not() -> None:
    assert ("/run/buoy",) == pod_program.empty_directories(a_pod("controller.yaml"))
    assert () == pod_program.empty_directories(a_pod("agent.yaml"))


@pytest.mark.parametrize(("place", "expected"), [("/srv/own", ("/srv/own",)), (sys.prefix, ()), ("/", ())])
def test_no_directory_of_a_pod_hides_what_it_is_to_run(place: str, expected: tuple[str, ...]) -> None:
    container = {"name": "it", "volumeMounts": [{"name": "own", "mountPath": place}]}
    spec = {"initContainers": [container], "containers": [container], "volumes": [{"name": "own", "emptyDir": {}}]}
    assert expected == pod_program.empty_directories({"spec": spec})


def test_a_token_is_asked_for_the_pods_account_and_ends_with_the_pod() -> None:
    path, request = pod_program.token_request(a_pod("controller.yaml"))
    assert "/api/v1/namespaces/buoy-system/serviceaccounts/buoy-controller/token" == path
    assert {"kind": "Pod", "name": "it", "uid": "1-2", "apiVersion": "v1"} == request["spec"]["boundObjectRef"]


@pytest.mark.parametrize(
    ("image", "is_program"),
    [("buoy", True), ("buoy:0.1.0", True), ("registry.example:5000/net/buoy:1", True), ("x/buoy@sha256:1", True),
     ("nginx", False), ("buoyant", False), ("buoy/web", False)],
)  # fmt: skip
def test_buoys_image_is_known_by_its_last_name(image: str, is_program: bool) -> None:
    assert is_program == pod_program.is_program({"spec": {"containers": [{"name": "x", "image": image}]}})
