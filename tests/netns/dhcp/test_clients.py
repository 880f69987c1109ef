# SPDX-License-Identifier: Apache-2.0
"""Real clients in guests' namespaces: BusyBox, ISC and the kernel ask; the responder answers from files."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from buoy.dataplane import dhcp_directory
from buoy.model.address import Address, Mac, unpacked
from buoy.model.guest import GuestConfig, Offer6
from buoy.model.workload import DhcpOption
from tests.netns.dhcp.cloud import Cloud, cloud, eventually, run
from tests.unit.dhcp import packets

CONFIG = packets.CONFIG
MOVED = msgspec.structs.replace(CONFIG, offer4=msgspec.structs.replace(packets.OFFER4, address=Address("192.0.2.99")))
ASK = """
import socket, sys
eth0 = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
eth0.bind(("eth0", 0x0800))
eth0.settimeout(30)
for frame in sys.argv[1:]:
    eth0.send(bytes.fromhex(frame))
while True:
    frame, sender = eth0.recvfrom(2000)
    if sender[2] != socket.PACKET_OUTGOING and frame[23] == 17 and frame[36:38] == bytes([0, 68]):
        print(frame[46:50].hex())
        break
"""
"""Send frames one after the other; print the transaction of the first answer."""


ASK_ALWAYS = """
import os, socket, sys, time
eth0 = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
eth0.bind(("eth0", 0x0800))
eth0.settimeout(2)
frame = bytes.fromhex(sys.argv[1])
asked = 0
while not os.path.exists(sys.argv[2]):
    asked += 1
    transaction = asked.to_bytes(4, "big")
    eth0.send(frame[:46] + transaction + frame[50:])
    while True:
        answer, sender = eth0.recvfrom(2000)
        if sender[2] != socket.PACKET_OUTGOING and answer[46:50] == transaction:
            break
    time.sleep(0.05)
print("asked", asked)
"""
"""Ask until a file appears; fail with the first question that waits two seconds for its answer."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Cloud]:
    with cloud(tmp_path) as made:
        yield made


def with_mode(offer: Offer6) -> GuestConfig:
    return msgspec.structs.replace(CONFIG, offer4=None, offers6=(offer,))


def test_busybox_gets_everything_a_port_says(host: Cloud) -> None:
    host.tell(msgspec.structs.replace(CONFIG, options=(DhcpOption(name="ntp-server", value="192.0.2.9"),)))
    said = host.udhcpc(host.guest(CONFIG, "g"), "-O", "staticroutes", "-O", "ntpsrv", "-O", "mtu")
    assert "lease of 192.0.2.7 obtained from 192.0.2.1, lease time 3600" in said
    for line in ("ip=192.0.2.7", "subnet=255.255.255.0", "router=192.0.2.1", "dns=192.0.2.53", "mtu=1450"):
        assert line in said.splitlines(), said
    assert "staticroutes=169.254.169.254/32 192.0.2.1 0.0.0.0/0 192.0.2.1" in said


def test_isc_client_gets_its_address_and_name(host: Cloud) -> None:
    host.tell(CONFIG)
    said = host.dhclient(host.guest(CONFIG, "g"), "-4")
    assert {"new_ip_address=192.0.2.7", "new_routers=192.0.2.1", "new_host_name=web1"} <= set(said.splitlines()), said


def test_isc_client_gets_its_ipv6_address(host: Cloud) -> None:
    config = with_mode(packets.STATEFUL)
    host.tell(config)
    guest = host.guest(config, "g")
    link_local = f"{unpacked(packets.GUEST_LINK_LOCAL)}"
    eventually(lambda: link_local in host.inside(guest, "ip", "-6", "addr", "show", "dev", "eth0", "-tentative"))
    said = host.dhclient(guest, "-6")
    assert {"new_ip6_address=2001:db8:2::7", "new_dhcp6_name_servers=2001:db8::53"} <= set(said.splitlines()), said


def test_the_kernel_forms_its_address_and_its_default_route(host: Cloud) -> None:
    config = with_mode(packets.SLAAC)
    host.tell(config)
    guest = host.guest(config, "g")
    eventually(lambda: "2001:db8:1:0:f816:3eff:fe00:1/64" in host.inside(guest, "ip", "-6", "addr", "show", "eth0"))
    routes = host.inside(guest, "ip", "-6", "route")
    tap = host.inside(host.host, "ip", "-6", "addr", "show", "dev", "tap1", "scope", "link")
    found = re.search(r"inet6 (fe80::[0-9a-f:]+)/64", tap)
    assert found is not None
    assert f"default via {found[1]} dev eth0 proto ra" in routes
    assert "2001:db8:1::/64" not in routes, "a prefix on the link would keep neighbours from being routed"


def test_a_guest_that_was_up_before_its_file_hears_of_it_unasked(host: Cloud) -> None:
    config = with_mode(packets.SLAAC)
    guest = host.guest(config, "g")
    # its kernel has asked three times and given up
    run("ip", "netns", "exec", guest, "sysctl", "-qw", "net.ipv6.conf.eth0.router_solicitations=0")
    host.tell(config)
    eventually(lambda: "2001:db8:1:0:f816:3eff:fe00:1/64" in host.inside(guest, "ip", "-6", "addr", "show", "eth0"))


def test_a_prefix_and_the_default_route_are_taken_back_at_once(host: Cloud) -> None:
    config = with_mode(packets.SLAAC)
    host.tell(config)
    guest = host.guest(config, "g")
    eventually(lambda: "default" in host.inside(guest, "ip", "-6", "route"))
    dhcp_directory.remove(host.files, "tap1")
    eventually(lambda: "default" not in host.inside(guest, "ip", "-6", "route"))
    eventually(lambda: "deprecated" in host.inside(guest, "ip", "-6", "addr", "show", "eth0"))


def test_after_a_move_the_old_address_is_refused_and_the_new_one_given(host: Cloud) -> None:
    host.tell(CONFIG)
    guest = host.guest(CONFIG, "g")
    assert "new_ip_address=192.0.2.7" in host.dhclient(guest, "-4")
    host.tell(MOVED)
    said = host.dhclient(guest, "-4")
    assert "DHCPREQUEST for 192.0.2.7" in said
    assert "DHCPNAK from 192.0.2.1" in said
    assert "new_ip_address=192.0.2.99" in said


def test_a_removed_fixed_ip_is_offered_to_nobody(host: Cloud) -> None:
    host.tell(CONFIG)
    guest = host.guest(CONFIG, "g")
    assert "lease of 192.0.2.7 obtained" in host.udhcpc(guest)
    dhcp_directory.remove(host.files, "tap1")
    assert "no lease, failing" in host.udhcpc(guest)


def test_a_guest_with_another_mac_address_is_not_answered(host: Cloud) -> None:
    host.tell(CONFIG)
    guest = host.guest(msgspec.structs.replace(CONFIG, mac=Mac("fa:16:3e:00:00:02")), "g")
    assert "no lease, failing" in host.udhcpc(guest)


def test_a_tagged_request_is_not_answered_as_if_it_were_the_guests_own(host: Cloud) -> None:
    host.tell(CONFIG)
    guest = host.guest(CONFIG, "g")
    plain, tagged = (packets.request4(1, xid=xid) for xid in (1, 2))
    tagged = tagged[:12] + bytes.fromhex("81000007") + tagged[12:]
    said = host.inside(guest, sys.executable, "-c", ASK, tagged.hex(), plain.hex())
    assert "00000001" == said.strip()


def test_a_bad_file_is_named_and_its_neighbour_served(host: Cloud) -> None:
    host.files.joinpath("tap2.json").write_text('{"interface": "tap2", "mac": 7}')
    host.tell(CONFIG)
    assert "lease of 192.0.2.7 obtained" in host.udhcpc(host.guest(CONFIG, "g"))
    eventually(lambda: "tap2.json" in host.told())
    assert "$.mac" in host.told()


def test_a_good_file_that_goes_bad_stays_in_force(host: Cloud) -> None:
    host.tell(CONFIG)
    guest = host.guest(CONFIG, "g")
    host.files.joinpath("tap1.json").write_text(packets.msgspec_json(CONFIG).replace("192.0.2.7", "banana"))
    eventually(lambda: "banana" in host.told())
    assert "offer4.address" in host.told()
    assert f"{host.files}/tap1.json" in host.told()
    assert "lease of 192.0.2.7 obtained" in host.udhcpc(guest)


def test_a_renewal_is_answered_also_by_a_host_whose_policy_drops_everything(host: Cloud, tmp_path: Path) -> None:
    host.tell(CONFIG)
    guest = host.guest(CONFIG, "g")
    rules = tmp_path / "rules"
    rules.write_text("table inet t {\nchain c {\ntype filter hook prerouting priority -150; policy drop;\n}\n}\n")
    run("ip", "netns", "exec", host.host, "nft", "-f", str(rules))
    # to a server it has an address for, a client renews by unicast; there is no proxy_arp in this host
    host.inside(guest, "ip", "neigh", "add", "192.0.2.1", "lladdr", host.mac("tap1"), "dev", "eth0")
    host.script.write_text('#!/bin/sh\n[ -z "$ip" ] || ip addr replace $ip/24 dev eth0\necho "heard $1"\n')
    log = tmp_path / "client"
    client = host.spawn(guest, "udhcpc", "-i", "eth0", "-n", "-f", "-s", str(host.script), log=log)
    eventually(lambda: "heard bound" in log.read_text())
    client.send_signal(signal.SIGUSR1)
    eventually(lambda: "heard renew" in log.read_text())


def test_a_killed_responder_has_forgotten_nothing_when_it_is_back(host: Cloud) -> None:
    host.tell(CONFIG)
    guest = host.guest(CONFIG, "g")
    assert "lease of 192.0.2.7 obtained" in host.udhcpc(guest)
    host.responder.send_signal(signal.SIGKILL)
    host.responder.wait()
    assert "no lease, failing" in host.udhcpc(guest, "-t", "1")
    host.start()
    assert "lease of 192.0.2.7 obtained" in host.udhcpc(guest, "-r", "192.0.2.7")


def test_a_tap_made_anew_is_served_as_before(host: Cloud) -> None:
    host.tell(CONFIG)
    guest = host.guest(CONFIG, "g")
    for _ in range(5):
        assert "lease of 192.0.2.7 obtained" in host.udhcpc(guest)
        run("ip", "-n", host.host, "link", "del", "tap1")
        host.tap(CONFIG, guest)
        run("ip", "-n", guest, "link", "set", "eth0", "up")


def test_nobody_waits_while_two_hundred_ports_come_and_go(host: Cloud, tmp_path: Path) -> None:
    host.tell(CONFIG)
    guest = host.guest(CONFIG, "g")
    end, log, batch = tmp_path / "end", tmp_path / "asked", tmp_path / "batch"
    asking = host.spawn(guest, sys.executable, "-c", ASK_ALWAYS, packets.request4(1, xid=0).hex(), str(end), log=log)
    for half in range(4):
        names = [f"tapx{half}{number:02d}" for number in range(50)]
        batch.write_text("".join(f"link add {name} up type veth peer name p{name}\n" for name in names))
        coming = subprocess.Popen(["ip", "-n", host.host, "-batch", str(batch)])
        for name in names:
            host.tell(msgspec.structs.replace(CONFIG, interface=name))
        assert coming.wait(60) == 0
        batch.write_text("".join(f"link del {name}\n" for name in names))
        going = subprocess.Popen(["ip", "-n", host.host, "-batch", str(batch)])
        for name in names:
            dhcp_directory.remove(host.files, name)
        assert going.wait(60) == 0
    end.touch()
    assert asking.wait(60) == 0, log.read_text()
    assert int(log.read_text().split()[-1]) > 10
    assert host.responder.poll() is None


def test_systemd_is_told_when_every_guest_is_answered(host: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(30)
        os.environ["NOTIFY_SOCKET"] = str(path)
        try:
            host.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert b"READY=1" == notify.recv(64)
