# SPDX-License-Identifier: Apache-2.0
"""What a person finds on the lab's nodes, and what a service does when it is hurt."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from buoy.lab.control import LabError
from buoy.lab.lab import Lab


def unit(lab: Lab, node: str, service: str) -> dict[str, object]:
    [found] = [one for one in lab.services() if (one["node"], one["service"]) == (node, service)]
    return found


def wait_for(lab: Lab, node: str, service: str, stage: str) -> dict[str, object]:
    deadline = time.monotonic() + 20
    while unit(lab, node, service)["stage"] != stage and time.monotonic() < deadline:
        time.sleep(0.02)
    found = unit(lab, node, service)
    assert stage == found["stage"]
    return found


def test_nodes_have_the_addresses_of_the_documents(lab: Lab) -> None:
    for node, address4, address6 in (
        ("access", "192.168.8.1/24", "fd00:8::1/64"),
        ("controller", "192.168.8.2/24", "fd00:8::2/64"),
        ("compute-1", "192.168.8.3/24", "fd00:8::3/64"),
        ("compute-2", "192.168.8.4/24", "fd00:8::4/64"),
    ):
        shown = lab.exec(node, "ip", "-o", "address", "show", "dev", "eth0").stdout
        assert f" {address4} " in shown
        assert f" {address6} " in shown
        assert f"{node}\n" == lab.exec(node, "hostname").stdout


def test_nodes_reach_each_other_by_name_on_both_families(lab: Lab) -> None:
    for option in ("-4", "-6"):
        lab.exec("access", "ping", option, "-c1", "-W5", "compute-2")


def test_a_node_has_its_own_etc_run_and_state(lab: Lab) -> None:
    mark = f"mark-{uuid.uuid4().hex}"
    for place in ("/etc/buoy", "/run/buoy", "/var/lib/buoy"):
        lab.exec("compute-1", "touch", f"{place}/{mark}")
        assert 0 != lab.exec("compute-2", "test", "-e", f"{place}/{mark}", check=False).returncode
        assert not Path(f"{place}/{mark}").exists()


def test_somebody_logs_in_to_a_node_as_in_the_documents(lab: Lab) -> None:
    shown = lab.exec("access", "ssh", "core@192.168.8.3", "ip", "r").stdout
    assert "192.168.8.0/24 dev eth0 proto kernel scope link src 192.168.8.3" in shown


def test_exec_passes_input_output_and_exit_code(lab: Lab) -> None:
    done = lab.exec("access", "sh", "-c", "cat; exit 7", text="hello", check=False)
    assert (7, "hello") == (done.returncode, done.stdout)


def test_the_command_line_becomes_the_command(lab: Lab) -> None:
    command = [
        sys.executable,
        "-m",
        "buoy.cli.main",
        "lab",
        "exec",
        "--name",
        lab.name,
        "access",
        "--",
        "sh",
        "-c",
        "exit 9",
    ]
    assert 9 == subprocess.run(command, check=False).returncode


def test_the_hosts_loopback_leads_to_etcd(lab: Lab) -> None:
    url = lab.env()["BUOY_ETCD"]
    assert url.startswith("http://127.0.0.1:")
    done = subprocess.run(["curl", "-sS", "-m", "5", f"{url}/health"], capture_output=True, text=True, check=True)
    assert '"health":"true"' in done.stdout


def test_the_store_knows_the_access_node_as_neighbour(lab: Lab) -> None:
    asked = '{"key": "L2J1b3kvdjEvcGVlcnMvYWNjZXNz"}'  # /buoy/v1/peers/access
    done = lab.client("curl", "-sS", "-d", asked, lab.env()["BUOY_ETCD"] + "/v3/kv/range")
    assert '"count":"1"' in done.stdout


def test_metadata_says_which_source_it_saw(lab: Lab) -> None:
    shown = lab.exec("compute-1", "curl", "-sS", "http://127.0.0.1:8775/latest").stdout
    assert '{"source": "127.0.0.1", "path": "/latest"}\n' == shown


def test_a_service_that_crashes_comes_back(lab: Lab) -> None:
    before = unit(lab, "access", "bird")
    lab.exec("access", "sh", "-c", f"kill -9 {before['process']}")
    deadline = time.monotonic() + 20
    while unit(lab, "access", "bird")["restarts"] == before["restarts"] and time.monotonic() < deadline:
        time.sleep(0.02)
    after = wait_for(lab, "access", "bird", "ready")
    assert before["process"] != after["process"]
    lab.exec("access", "birdc", "-s", "/run/buoy/bird.ctl", "show", "status")


@pytest.mark.parametrize(("action", "stage"), [("kill", "killed"), ("stop", "stopped")])
def test_a_service_ended_by_a_person_stays_down_until_it_is_started(lab: Lab, action: str, stage: str) -> None:
    process = unit(lab, "access", "bird")["process"]
    assert stage == lab.service(action, "access", "bird")["stage"]
    time.sleep(1)
    assert stage == unit(lab, "access", "bird")["stage"]
    assert 0 != lab.exec("access", "kill", "-0", str(process), check=False).returncode
    lab.service("start", "access", "bird")
    lab.wait_ready("access", "bird")


def test_an_unknown_service_is_refused_with_those_there_are(lab: Lab) -> None:
    with pytest.raises(LabError, match="no service access/etcd; there are access/bird"):
        lab.service("stop", "access", "etcd")


def test_an_unknown_node_is_refused_with_those_there_are(lab: Lab) -> None:
    with pytest.raises(LabError, match="no node elsewhere; there are access, controller"):
        lab.exec("elsewhere", "true")


def test_a_lab_that_is_not_up_is_named(name: str) -> None:
    with pytest.raises(LabError, match=f"no lab called {name}"):
        Lab(name).exec("access", "true")


def test_logs_are_files_of_the_host(lab: Lab) -> None:
    [log] = lab.log_files("access", "bird")
    assert "Started" in log.read_text()
    assert os.getuid() == log.stat().st_uid
