# SPDX-License-Identifier: Apache-2.0
"""What a person finds on the lab's nodes, and what a service does when it is hurt."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
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


@pytest.fixture
def off(lab: Lab) -> Iterator[str]:
    """A node that was switched off; it is on again afterwards."""
    lab.exec("compute-2", "sh", "-c", "echo kept > /etc/mark; echo kept > /var/lib/mark; echo lost > /run/mark")
    lab.exec("compute-2", "ip", "route", "add", "198.51.100.0/24", "via", "192.168.8.1")
    lab.node("stop", "compute-2")
    yield "compute-2"
    lab.node("start", "compute-2")


def state(lab: Lab, node: str) -> str:
    [found] = [one["state"] for one in lab.status()["nodes"] if one["name"] == node]
    return str(found)


def test_a_node_that_is_off_answers_nobody_and_runs_nothing(lab: Lab, off: str) -> None:
    assert ("off", "on") == (state(lab, off), state(lab, "compute-1"))
    assert 0 != lab.exec("access", "ping", "-c1", "-W1", off, check=False).returncode
    assert {"killed"} == {str(one["stage"]) for one in lab.services() if one["node"] == off}
    with pytest.raises(LabError, match="node compute-2 is off: `buoy lab node start compute-2`"):
        lab.exec(off, "true")
    with pytest.raises(LabError, match="is off"):
        lab.service("start", off, "ssh")
    with pytest.raises(LabError, match="is off"):
        lab.plug(name="late", node=off, interface="tap0", mac="fa:16:3e:00:00:01")


def test_a_power_cut_ends_also_what_somebody_runs_there(lab: Lab) -> None:
    with subprocess.Popen(lab.command("compute-2", ["sleep", "1000"])) as somebody:
        time.sleep(0.2)
        lab.node("stop", "compute-2")
        assert 0 != somebody.wait(timeout=5)
    lab.node("start", "compute-2")


def test_a_node_that_is_on_again_has_its_disk_and_nothing_of_its_memory(lab: Lab, off: str) -> None:
    assert "on" == lab.node("start", off)["state"]
    wait_for(lab, off, "ssh", "ready")
    lab.exec("access", "ping", "-c1", "-W5", off)
    shown = lab.exec(off, "sh", "-c", "cat /etc/mark /var/lib/mark; ls /run/mark", check=False)
    assert "kept\nkept\n" == shown.stdout
    assert "198.51.100.0/24" not in lab.exec(off, "ip", "route").stdout
    assert f"{off}\n" == lab.exec(off, "hostname").stdout


def test_switching_twice_is_switching_once(lab: Lab, off: str) -> None:
    assert "off" == lab.node("stop", off)["state"]
    assert ["on", "on"] == [lab.node("start", off)["state"] for _ in range(2)]
    wait_for(lab, off, "ssh", "ready")


def test_a_node_that_is_not_there_is_refused_with_those_there_are(lab: Lab) -> None:
    with pytest.raises(LabError, match="no node compute-9; there are access, controller, compute-1, compute-2"):
        lab.node("stop", "compute-9")
