# SPDX-License-Identifier: Apache-2.0
"""The whole OpenStack lab: real Neutron, agents and guests booted as Nova boots them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from buoy.lab import vm
from buoy.lab.control import LabError
from buoy.lab.lab import Lab
from buoy.lab.vm import Wish
from tests.lab.conftest import fresh_name

BUOY = [sys.executable, "-m", "buoy.cli.main"]


def silent(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def cloud() -> Iterator[Lab]:
    """A lab with a network ``net`` of one IPv4 subnet, into which the access node may speak."""
    lab = Lab(fresh_name()).up(nodes=2)
    lab.client("openstack", "network", "create", "net")
    lab.client("openstack", "subnet", "create", "sub", "--network", "net", "--subnet-range", "198.51.100.0/24")
    lab.client("openstack", "security", "group", "rule", "create", "default", "--remote-ip", "192.168.8.1/32")
    yield lab
    lab.down()


def ports(lab: Lab) -> list[dict[str, str]]:
    shown = lab.client("openstack", "port", "list", "--device-owner", "compute:nova", "-f", "json").stdout
    return [dict(port) for port in json.loads(shown)]


def alive(lab: Lab, node: str) -> bool:
    shown = lab.client("openstack", "network", "agent", "list", "--host", node, "-f", "json").stdout
    return any(agent["Alive"] for agent in json.loads(shown))


def test_boot_makes_port_tap_and_guest_and_delete_unmakes_them(cloud: Lab) -> None:
    booted = vm.boot(cloud, Wish(name="one", network="net", host="compute-2"), silent)
    [address] = booted["addresses"]
    assert [] == booted["missing"]
    assert [booted["port"]] == [port["ID"] for port in ports(cloud)]
    assert f"tap{booted['port']}"[:14] == booted["interface"]
    assert "state UP" in cloud.exec("compute-2", "ip", "link", "show", booted["interface"]).stdout
    assert "one\n" == cloud.exec("access", "curl", "-sS", "-m5", f"http://{address}/").stdout
    vm.delete(cloud, "one")
    assert [] == ports(cloud)
    assert 0 != cloud.exec("compute-2", "ip", "link", "show", booted["interface"], check=False).returncode


def test_boot_takes_a_port_that_is_there(cloud: Lab) -> None:
    made = cloud.client("openstack", "port", "create", "mine", "--network", "net", "-f", "json").stdout
    booted = vm.boot(cloud, Wish(name="two", port="mine"), silent)
    assert json.loads(made)["id"] == booted["port"]
    vm.delete(cloud, "two")


def test_boot_on_a_host_whose_agent_is_dead_is_refused_and_leaves_nothing(cloud: Lab) -> None:
    cloud.service("kill", "compute-2", "agent")
    deadline = time.monotonic() + 75
    while alive(cloud, "compute-2") and time.monotonic() < deadline:
        time.sleep(0.5)
    with pytest.raises(LabError, match="compute-2"):
        vm.boot(cloud, Wish(name="three", network="net", host="compute-2"), silent)
    cloud.service("start", "compute-2", "agent")
    cloud.wait_ready("compute-2", "agent")
    assert [] == ports(cloud)
    assert [] == cloud.status()["guests"]


@pytest.mark.parametrize("milliseconds", [200, 400, 600, 800, 1000, 1500])
def test_ctrl_c_at_any_moment_of_boot_leaves_nothing(cloud: Lab, milliseconds: int) -> None:
    words = [*BUOY, "lab", "vm", "boot", "four", "--network", "net", "--name", cloud.name]
    booting = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(milliseconds / 1000)
    if booting.poll() is None:
        booting.send_signal(signal.SIGINT)
    if booting.wait(60) == 0:
        vm.delete(cloud, "four")
    assert [] == cloud.status()["guests"]
    assert [] == ports(cloud)
    for node in ("compute-1", "compute-2"):
        assert "tap" not in cloud.exec(node, "ip", "-o", "link").stdout


def test_a_qemu_guest_boots_on_a_real_tap_and_answers(cloud: Lab) -> None:
    booted = vm.boot(cloud, Wish(name="machine", network="net", host="compute-1", qemu=True), silent)
    [address] = booted["addresses"]
    assert "machine\n" == cloud.exec("access", "curl", "-sS", "-m10", f"http://{address}/").stdout
    assert "tun" in cloud.exec("compute-1", "ip", "-d", "link", "show", booted["interface"]).stdout
    assert os.uname().release != cloud.exec("access", "ssh", f"cirros@{address}", "uname -r").stdout.strip()
    kept = cloud.exec("machine", "printf", "%s|", "two words", "$HOME", "*").stdout
    assert "two words|$HOME|*|" == kept
    command = [*BUOY, "lab", "vm", "exec", "--name", cloud.name, "machine", "--", "sh", "-c", "hostname; exit 7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (7, "machine\n") == (done.returncode, done.stdout)
    cloud.client("openstack", "port", "set", "--no-security-group", booted["port"])
    with pytest.raises(LabError, match=r"entered by SSH; .* `openstack security group rule create --protocol tcp"):
        cloud.exec("machine", "true")
    vm.delete(cloud, "machine")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(name="x", network="nowhere"), "--network nowhere: 0 networks"),
        (Wish(name="x", network="net", host="compute-9"), "--host compute-9: guests can be on compute-1, compute-2"),
        (Wish(name="x"), "--network NET or --port PORT"),
        (Wish(name="x", port="nothing"), "--port nothing"),
        (Wish(name="access", network="net"), "already a machine called access"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_with_what_can(cloud: Lab, wish: Wish, words: str) -> None:
    with pytest.raises(LabError, match=words):
        vm.boot(cloud, wish, silent)
    assert [] == ports(cloud)


def test_env_is_what_a_shell_needs(cloud: Lab) -> None:
    script = (
        'eval "$("$0" -m buoy.cli.main lab env --name "$1")"; openstack network list -f value -c Name; neutron net-list'
    )
    done = subprocess.run(["sh", "-c", script, sys.executable, cloud.name], capture_output=True, text=True, check=True)
    assert "net" == done.stdout.splitlines()[0]
    assert "| net " in done.stdout
