# SPDX-License-Identifier: Apache-2.0
"""Guests without Neutron: a tap with the right name and MAC, silent until started, then DHCP, HTTP and SSH."""

import time
from collections.abc import Iterator

import pytest

from buoy.lab.control import LabError
from buoy.lab.lab import Lab

TAP, MAC = "tap9a7e0868-da", "fa:16:3e:28:a9:a4"
SERVER = f"""
start 192.0.2.13
end 192.0.2.13
interface {TAP}
option subnet 255.255.255.0
option router 192.0.2.1
option mtu 1400
lease_file /run/udhcpd.leases
"""


@pytest.fixture
def guest(lab: Lab) -> Iterator[str]:
    lab.plug(name="testvm1", node="compute-1", interface=TAP, mac=MAC)
    yield "testvm1"
    if "testvm1" in [one["name"] for one in lab.status()["guests"]]:
        lab.unplug("testvm1")


@pytest.fixture
def served(lab: Lab, guest: str) -> Iterator[str]:
    """A guest whose node answers DHCP on its tap; what Buoy does for a guest is tested elsewhere."""
    lab.exec("compute-1", "ip", "address", "add", "192.0.2.1/24", "dev", TAP)
    lab.exec("compute-1", "sh", "-c", "cat > /run/udhcpd.conf; touch /run/udhcpd.leases", text=SERVER)
    lab.exec("compute-1", "busybox", "udhcpd", "/run/udhcpd.conf")
    lab.start_guest(guest)
    deadline = time.monotonic() + 30
    while "192.0.2.13" not in shown(lab) and time.monotonic() < deadline:
        time.sleep(0.1)
    yield guest
    lab.exec("compute-1", "sh", "-c", "kill $(busybox pidof udhcpd busybox)", check=False)


def shown(lab: Lab) -> str:
    return lab.exec("testvm1", "ip", "-o", "address", "show", "dev", "eth0").stdout


def test_the_tap_is_on_the_node_and_the_mac_in_the_guest(lab: Lab, guest: str) -> None:
    assert "state UP" in lab.exec("compute-1", "ip", "link", "show", TAP).stdout
    assert MAC in lab.exec(guest, "ip", "link", "show", "eth0").stdout
    assert "testvm1\n" == lab.exec(guest, "hostname").stdout


def test_a_plugged_guest_is_silent(lab: Lab, guest: str) -> None:
    lab.exec("compute-1", "sh", "-c", f"timeout 2 tcpdump -i {TAP} -w /run/silent.pcap 2>/dev/null", check=False)
    seen = lab.exec("compute-1", "tcpdump", "-r", "/run/silent.pcap", "ether", "src", MAC).stdout
    assert "" == seen


def test_a_started_guest_takes_what_dhcp_gives(lab: Lab, served: str) -> None:
    assert " 192.0.2.13/24 " in shown(lab)
    [default] = [line for line in lab.exec(served, "ip", "route").stdout.splitlines() if line.startswith("default")]
    assert default.startswith("default via 192.0.2.1 dev eth0 ")
    assert default.rstrip().endswith("mtu 1400")


def test_a_started_guest_answers_http_with_its_name_and_says_who_asked(lab: Lab, served: str) -> None:
    assert "testvm1\n" == lab.exec("compute-1", "curl", "-sS", "-m5", "http://192.0.2.13/").stdout
    assert "192.0.2.1\n" == lab.exec("compute-1", "curl", "-sS", "-m5", "http://192.0.2.13/cgi-bin/client").stdout


def test_somebody_logs_in_and_adds_an_address_as_in_the_documents(lab: Lab, served: str) -> None:
    lab.exec("compute-1", "ssh", "cirros@192.0.2.13", "sudo ip a a 192.0.2.23/24 dev eth0")
    assert "testvm1\n" == lab.exec("compute-1", "ssh", "cirros@192.0.2.23", "hostname").stdout


def test_an_unplugged_guest_takes_tap_and_processes_along(lab: Lab, guest: str) -> None:
    lab.start_guest(guest)
    lab.unplug(guest)
    assert 0 != lab.exec("compute-1", "ip", "link", "show", TAP, check=False).returncode
    assert [] == lab.status()["guests"]


def test_a_second_guest_of_the_same_name_is_refused(lab: Lab, guest: str) -> None:
    with pytest.raises(LabError, match="already a machine called testvm1"):
        lab.plug(name=guest, node="compute-2", interface="tap2", mac=MAC)


def test_a_tap_that_cannot_be_made_leaves_no_guest(lab: Lab, guest: str) -> None:
    with pytest.raises(LabError, match="File exists"):
        lab.plug(name="testvm2", node="compute-1", interface=TAP, mac="fa:16:3e:00:00:02")
    assert [guest] == [one["name"] for one in lab.status()["guests"]]
