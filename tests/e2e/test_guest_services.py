# SPDX-License-Identifier: Apache-2.0
"""What a guest is told when it asks: DHCP, router advertisements, DHCPv6 and metadata, through real clients in it."""

import json
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, eventually

SCRIPT = '#!/bin/sh\n[ "$1" = bound ] && env\nexit 0\n'
ASKED = ("66", "67", "42", "12", "150", "234")
Guests = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def guests(cloud: Cloud) -> Guests:
    """Guests `red` on a plain network and `blue` on one where everything is set, with DHCPv6."""
    cloud.openstack("network", "create", "--mtu", "1400", "--dns-domain", "lab.example.", "rich")
    cloud.openstack(
        "subnet", "create", "--network", "rich", "--subnet-range", "10.66.0.0/24", "--gateway", "10.66.0.254",
        "--dns-nameserver", "192.0.2.53", "--dns-nameserver", "192.0.2.54",
        "--host-route", "destination=198.51.100.0/24,gateway=10.66.0.7", "rich-v4",
    )  # fmt: skip
    cloud.openstack(
        "subnet", "create", "--network", "rich", "--ip-version", "6", "--subnet-range", "fd00:66::/64",
        "--ipv6-address-mode", "dhcpv6-stateful", "--ipv6-ra-mode", "dhcpv6-stateful",
        "--dns-nameserver", "2001:db8::53", "rich-v6",
    )  # fmt: skip
    cloud.openstack("network", "create", "stateless")
    cloud.openstack("subnet", "create", "--network", "stateless", "--subnet-range", "10.67.0.0/24", "stateless-v4")
    cloud.openstack(
        "subnet", "create", "--network", "stateless", "--ip-version", "6", "--subnet-range", "fd00:67::/64",
        "--ipv6-address-mode", "dhcpv6-stateless", "--ipv6-ra-mode", "dhcpv6-stateless",
        "--dns-nameserver", "2001:db8::54", "stateless-v6",
    )  # fmt: skip
    return {
        "red": _boot(cloud, "red", "calico"),
        "blue": _boot(cloud, "blue", "rich"),
        "green": _boot(cloud, "green", "stateless"),
    }


def _boot(cloud: Cloud, name: str, network: str) -> dict[str, Any]:
    guest = cloud.boot(name, "compute-1", network=network)
    prepare(cloud, name)
    return guest


def prepare(cloud: Cloud, name: str) -> None:
    """Put a script for the DHCP client into a guest, which prints what the client was told."""
    cloud.lab.exec(name, "sh", "-c", "cat > /run/told; chmod +x /run/told", text=SCRIPT)


def told(cloud: Cloud, name: str, seconds: int = 2) -> dict[str, str]:
    """Ask by DHCP once and return what the answer says, by busybox's names; empty if none comes in time."""
    asked = [word for code in ASKED for word in ("-O", code)]
    names = ("mtu", "domain", "staticroutes", "router", "dns", "ntpsrv")
    asked += [word for one in names for word in ("-O", one)]
    wait = ("-t", "1", "-T", str(seconds), "-A", "0")
    words = ("busybox", "udhcpc", "-f", "-n", "-q", "-i", "eth0", *wait, "-s", "/run/told", *asked)
    printed = cloud.on(name, *words, check=False)
    return dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)


def test_a_guest_is_told_address_gateway_names_mtu_and_routes(cloud: Cloud, guests: Guests) -> None:
    answer = told(cloud, "blue")
    wanted = {
        "ip": guests["blue"]["addresses"][0],
        "mask": "24",
        "router": "10.66.0.254",
        "dns": "192.0.2.53 192.0.2.54",
        "mtu": "1400",
        "domain": "lab.example",
    }
    assert wanted == {name: answer.get(name, "") for name in wanted}
    routes = answer["staticroutes"].split()
    by_prefix = dict(zip(routes[::2], routes[1::2], strict=True))
    assert {
        "198.51.100.0/24": "10.66.0.7", "169.254.169.254/32": "10.66.0.254", "0.0.0.0/0": "10.66.0.254",
    } == by_prefix  # fmt: skip
    assert "mtu 1400" in cloud.on("blue", "ip", "route", "show", "default")


def test_a_guest_without_wishes_gets_a_lease_with_its_networks_mtu(cloud: Cloud, guests: Guests) -> None:
    answer = told(cloud, "red")
    mtu = cloud.get("network", "show", "calico")["mtu"]
    four = next(one for one in guests["red"]["addresses"] if ":" not in one)
    assert (four, "10.65.0.1", str(mtu)) == (answer["ip"], answer["router"], answer["mtu"])


def test_stateful_dhcpv6_gives_the_ports_address_and_a_router_without_on_link_prefix(
    cloud: Cloud, guests: Guests
) -> None:
    six = next(one for one in guests["blue"]["addresses"] if ":" in one)
    assert [f"{six}/128"] == _global6(cloud, "blue")
    assert "via fe80::" in eventually(lambda: cloud.on("blue", "ip", "-6", "route", "show", "default"))
    assert "2001:db8::53" in _lease6(cloud, "blue")
    assert "fd00:66::/64 dev" not in cloud.on("blue", "ip", "-6", "route")


def test_stateless_dhcpv6_gives_names_and_lets_the_guest_form_its_address(cloud: Cloud, guests: Guests) -> None:
    six = next(one for one in guests["green"]["addresses"] if ":" in one)
    assert [f"{six}/64"] == _global6(cloud, "green")
    eventually(lambda: "2001:db8::54" in _lease6(cloud, "green"))


def test_slaac_gives_the_ports_address(cloud: Cloud, guests: Guests) -> None:
    six = next(one for one in guests["red"]["addresses"] if ":" in one)
    assert [f"{six}/64"] == _global6(cloud, "red")
    assert "via fe80::" in cloud.on("red", "ip", "-6", "route", "show", "default")


def _global6(cloud: Cloud, name: str) -> list[str]:
    shown = cloud.on(name, "ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "global")
    return [line.split()[3] for line in shown.splitlines()]


def _lease6(cloud: Cloud, name: str) -> str:
    return cloud.on(name, "dhcpcd", "-6", "-U", "eth0", check=False)


def test_extra_options_are_told_at_once_and_so_are_their_changes(cloud: Cloud, guests: Guests) -> None:
    port = guests["red"]["port"]
    options = {"tftp-server": "boot.example", "bootfile-name": "pxe.0", "ntp-server": "192.0.2.123", "234": "hello"}
    for name, value in options.items():
        cloud.openstack("port", "set", "--extra-dhcp-option", f"name={name},value={value},ip-version=4", port)
    answer = eventually(lambda: told(cloud, "red"), lambda seen: "opt234" in seen)
    expected = {"tftp": "boot.example", "bootfile": "pxe.0", "ntpsrv": "192.0.2.123", "opt234": b"hello".hex()}
    assert expected == {name: answer.get(name) for name in expected}
    for mtu in ("1300", "1290"):
        cloud.openstack("port", "set", "--extra-dhcp-option", f"name=mtu,value={mtu},ip-version=4", port)
        eventually(lambda: told(cloud, "red").get("mtu", ""), mtu.__eq__)
    assert expected == {name: told(cloud, "red").get(name) for name in expected}


def test_an_option_given_at_creation_is_told_from_the_first_answer(cloud: Cloud, guests: Guests) -> None:
    assert guests
    words = ("--extra-dhcp-option", "name=12,value=chosen", "--extra-dhcp-option", "name=tftp-server,value=early")
    made = cloud.get("port", "create", "--network", "calico", *words, "opted")
    cloud.boot("opted", "compute-1", port=made["id"])
    prepare(cloud, "opted")
    answer = told(cloud, "opted")
    assert ("chosen", "early") == (answer["hostname"], answer["tftp"])


@pytest.mark.parametrize(
    ("name", "value", "version"),
    [("no-such-option", "1", "4"), ("mtu", "many", "4"), ("router", "fd00::1", "4"), ("53", "1", "4"),
     ("dns-server", "192.0.2.1", "6")],
)  # fmt: skip
def test_an_option_that_cannot_be_told_is_refused(
    cloud: Cloud, guests: Guests, name: str, value: str, version: str
) -> None:
    with pytest.raises(AssertionError, match=r"opt_name|opt_value"):
        cloud.openstack(
            "port", "set", "--extra-dhcp-option", f"name={name},value={value},ip-version={version}",
            guests["red"]["port"],
        )  # fmt: skip


def test_what_changes_in_the_subnet_or_the_network_is_told_at_once(cloud: Cloud, guests: Guests) -> None:
    assert guests
    _boot(cloud, "fresh", "calico")
    cloud.openstack("subnet", "set", "--dns-nameserver", "192.0.2.55", "calico-v4")
    cloud.openstack("subnet", "set", "--host-route", "destination=203.0.113.0/24,gateway=10.65.0.9", "calico-v4")
    cloud.openstack("network", "set", "--mtu", "1280", "calico")
    eventually(lambda: told(cloud, "fresh").get("mtu") == "1280")
    answer = told(cloud, "fresh")
    assert ("192.0.2.55", True) == (answer["dns"], "203.0.113.0/24 10.65.0.9" in answer["staticroutes"])
    cloud.openstack("subnet", "unset", "--dns-nameserver", "192.0.2.55", "calico-v4")
    eventually(lambda: "dns" not in told(cloud, "fresh"))


def test_no_request_waits_two_seconds_while_ports_come_and_go(cloud: Cloud, guests: Guests) -> None:
    assert guests
    answers = []
    for number in range(4):
        made = cloud.get("port", "create", "--network", "calico", "--host", "compute-1",
                         "--device-owner", "compute:nova", "--device", f"d{number}", f"busy{number}")  # fmt: skip
        cloud.lab.plug(
            name=f"busy{number}", node="compute-1", interface=f"tap{made['id']}"[:14], mac=made["mac_address"],
            port=made["id"], addresses=[],
        )  # fmt: skip
        answers.append(told(cloud, "red"))
        cloud.openstack("port", "delete", made["id"])
        answers.append(told(cloud, "red"))
        cloud.lab.unplug(f"busy{number}")
        answers.append(told(cloud, "red"))
    assert [True] * len(answers) == [bool(answer) for answer in answers]


def test_nothing_is_answered_after_the_port_is_deleted(cloud: Cloud, guests: Guests) -> None:
    assert guests
    guest = _boot(cloud, "gone", "calico")
    assert told(cloud, "gone")
    cloud.openstack("port", "delete", guest["port"])
    eventually(lambda: not told(cloud, "gone", 1), seconds=4)
    assert {} == told(cloud, "gone")
    assert "" == cloud.http("gone", "169.254.169.254", seconds=1)
    cloud.lab.unplug("gone")


@pytest.mark.parametrize("name", ["red", "blue", "green"])
def test_metadata_is_reached_with_the_fixed_address_as_source(cloud: Cloud, guests: Guests, name: str) -> None:
    four = next(one for one in guests[name]["addresses"] if ":" not in one)
    answer = cloud.on(name, "curl", "-s", "-m", "3", "http://169.254.169.254/latest/meta-data")
    assert {"source": four, "path": "/latest/meta-data"} == json.loads(answer)


def test_metadata_knows_a_guest_with_a_floating_ip_by_its_fixed_address(cloud: Cloud, guests: Guests) -> None:
    four = next(one for one in guests["red"]["addresses"] if ":" not in one)
    floating = cloud.get("floating", "ip", "create", "public", "--port", guests["red"]["port"])
    eventually(lambda: cloud.http("access", floating["floating_ip_address"]) == "red")
    answer = cloud.on("red", "curl", "-s", "-m", "3", "http://169.254.169.254/")
    assert four == json.loads(answer)["source"]
    cloud.openstack("floating", "ip", "delete", floating["id"])


def test_a_group_that_allows_nothing_still_lets_the_guest_ask_for_metadata_and_a_lease(
    cloud: Cloud, guests: Guests
) -> None:
    port = guests["green"]["port"]
    cloud.openstack("port", "set", "--no-security-group", port)
    eventually(lambda: not cloud.http("access", guests["green"]["addresses"][0], seconds=0.5))
    assert told(cloud, "green")
    assert cloud.http("green", "169.254.169.254")
