# SPDX-License-Identifier: Apache-2.0
"""What people ask: `buoy why`, `plan`, `audit`, `doctor`, `status`, `show`, and what a drained node looks like."""

import contextlib
import itertools
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, eventually
from tests.e2e.truth import Guest, becomes, floating, keys, killed, link_down, reasons, says, serves, why

NODE, OTHER = "compute-1", "compute-2"


@pytest.fixture(scope="module")
def red(cloud: Cloud) -> Guest:
    return cloud.boot("red", NODE, network="calico")


@pytest.fixture(scope="module")
def address(cloud: Cloud, red: Guest) -> str:
    """Return a floating IP that is served."""
    made = floating(cloud, red["port"])
    serves(cloud, made, NODE)
    return made


def asked(cloud: Cloud, *words: str, node: str = NODE) -> tuple[int, str]:
    """Run `buoy` on a node and return its exit code and everything it printed."""
    done = cloud.lab.exec(node, "buoy", *words, check=False)
    return done.returncode, done.stdout + done.stderr


def test_why_tells_the_whole_way_on_the_node_and_its_end_elsewhere(cloud: Cloud, red: Guest, address: str) -> None:
    topics = ["document", "pool", "binding", "node", "route", "NAT", "policy", "announcement", "peers"]
    here = why(cloud, address, NODE)
    assert (topics, True) == ([line["topic"] for line in here], all(line["ok"] for line in here))
    assert red["interface"] in next(line["text"] for line in here if line["topic"] == "route")
    for node in ("controller", OTHER):
        assert ["document", "pool", "binding", "status"] == [line["topic"] for line in why(cloud, address, node)]
    assert "compute-1 programmed it" in asked(cloud, "why", address, node="controller")[1]


def test_why_of_a_fixed_ip_names_its_tap(cloud: Cloud, red: Guest) -> None:
    for fixed in red["addresses"]:
        for node in (NODE, OTHER, "controller"):
            code, text = asked(cloud, "why", fixed, node=node)
            assert (0, True) == (code, red["interface"] in text)


def test_a_fixed_ip_that_is_a_pair_elsewhere_is_announced_by_its_owner_alone_while_it_has_one(cloud: Cloud) -> None:
    asking, owner = cloud.boot("asking", OTHER, network="calico"), cloud.boot("owner", NODE, network="calico")
    fixed = next(each for each in owner["addresses"] if "." in each)
    its = next(each for each in asking["addresses"] if "." in each)
    cloud.openstack("port", "set", "--allowed-address", f"ip-address={fixed}", asking["port"])
    eventually(lambda: f"pair of port {asking['port']} on {OTHER}" in asked(cloud, "status", node="controller")[1])
    for node in (NODE, OTHER, "controller"):
        code, text = asked(cloud, "why", fixed, node=node)
        assert (0, True, True) == (code, asking["port"] in text, owner["port"] in text)
    assert (1, "owner") == (len(_via(cloud, fixed)), cloud.http("access", fixed))
    assert _via(cloud, its) != _via(cloud, fixed)
    cloud.openstack("port", "delete", owner["port"])
    eventually(lambda: _via(cloud, fixed) == _via(cloud, its))
    eventually(lambda: reasons(cloud, fixed), lambda seen: not seen)


def _via(cloud: Cloud, address: str) -> list[str]:
    """Return every next hop of the router to an address."""
    words = cloud.on("access", "ip", "route", "show", address).split()
    return [after for word, after in itertools.pairwise(words) if word == "via"]


def test_an_address_nobody_knows_is_told_so_with_a_code_of_its_own(cloud: Cloud) -> None:
    for node in (NODE, "controller"):
        code, text = asked(cloud, "why", "203.0.113.9", node=node)
        assert (4, True) == (code, "203.0.113.9 is in no document of the store" in text)
    assert (2, True) == _refusal(cloud, "why", "nonsense", names="ADDRESS")


def test_each_no_has_one_sentence_and_one_remedy(cloud: Cloud, red: Guest, address: str) -> None:
    with link_down(cloud, NODE, red["interface"]):
        says(cloud, address, "tap-down", NODE)
        code, text = asked(cloud, "why", address)
    [line] = [line for line in text.splitlines() if line.startswith("✗")]
    tap = red["interface"]
    assert (1, f"{tap} on {NODE} is down; ip link set {tap} up; is the VM running?") == (code, line[16:])
    becomes(cloud, address, "ACTIVE")


def test_a_host_in_order_has_nothing_to_plan_and_nothing_that_differs(cloud: Cloud, address: str) -> None:
    serves(cloud, address, NODE)
    assert (0, "nothing to do: the host holds what is wanted\n") == asked(cloud, "plan")
    assert (0, []) == _json(cloud, "plan")
    code, [found] = _json(cloud, "audit")
    assert (0, [], "", []) == (code, found["wrong"], found["held"], found["problems"])
    code, findings = _json(cloud, "doctor")
    assert (0, []) == (code, [finding for finding in findings if not finding["ok"]])


def test_what_differs_and_cannot_be_repaired_is_in_audit_and_plan(cloud: Cloud, red: Guest, address: str) -> None:
    v6 = next(each for each in red["addresses"] if ":" in each)
    # below 1280 octets the kernel has no IPv6 on a link (RFC 8200, 5)
    cloud.on(NODE, "ip", "link", "set", red["interface"], "mtu", "1200")
    try:
        says(cloud, v6, "refused-by-kernel", NODE)
        says(cloud, v6, "refused-by-kernel")
        code, [found] = _json(cloud, "audit")
        assert (1, True) == (code, f"route {v6}/128" in {wrong["entry"] for wrong in found["wrong"]})
        code, steps = _json(cloud, "plan")
        assert (1, True) == (code, f"add route {v6}/128" in {step["act"] for step in steps})
        code, text = asked(cloud, "status", node="controller")
        assert (1, True) == (code, f"buoy why {v6}" in text)
        becomes(cloud, address, "ACTIVE")
    finally:
        cloud.on(NODE, "ip", "link", "set", red["interface"], "mtu", "1500")
    eventually(lambda: asked(cloud, "audit")[0], lambda code: code == 0)


def test_doctor_names_what_stops_buoy_and_how_to_mend_it(cloud: Cloud) -> None:
    with killed(cloud, NODE, "bird"):
        code, findings = _json(cloud, "doctor")
    assert (1, ["systemctl start buoy-bird"]) == (code, [each["remedy"] for each in findings if not each["ok"]])


@pytest.mark.parametrize(
    ("setting", "right"), [("net.ipv4.conf.all.rp_filter", 0), ("net.ipv4.conf.eth0.forwarding", 1)]
)
def test_doctor_names_a_setting_of_the_node_that_drops_packets(cloud: Cloud, setting: str, right: int) -> None:
    # an agent that lives puts some of them back at once
    with killed(cloud, NODE, "agent"):
        cloud.on(NODE, "sysctl", "-qw", f"{setting}={1 - right}")
        code, text = asked(cloud, "doctor")
        cloud.on(NODE, "sysctl", "-qw", f"{setting}={right}")
    assert (1, True) == (code, f"sysctl -w {setting}={right}" in text)


def test_status_shows_nodes_and_addresses_and_fails_when_something_is_wrong(cloud: Cloud, address: str) -> None:
    becomes(cloud, address, "ACTIVE")
    eventually(lambda: asked(cloud, "status", node="controller")[0], lambda code: code == 0, 20)
    with killed(cloud, "access", "bird"):
        # sessions that fell with the BIRD of the test before are told of, too, until they are back
        eventually(lambda: asked(cloud, "status", node="controller"), _misses_the_router, 30)
    becomes(cloud, address, "ACTIVE", 20)


def _misses_the_router(answer: tuple[int, str]) -> bool:
    code, text = answer
    return (1, True) == (code, "not established: peer_access (" in text)


def test_what_the_store_asks_of_bird_in_vain_is_in_status(cloud: Cloud) -> None:
    cloud.buoy("peer", "add", "wrong", "--address", "2001:db8::1", "--asn", "64999", "--source", "2001:db8::2")
    key = "/buoy/v1/peers/wrong"
    before = json.loads(cloud.on("controller", "etcdctl", "get", key, "--print-value-only"))
    cloud.lab.exec("controller", "etcdctl", "put", key, text=json.dumps({**before, "export_filter": "missing"}))
    try:
        eventually(lambda: "missing" in asked(cloud, "status", node="controller")[1])
        assert 1 == asked(cloud, "audit")[0]
    finally:
        cloud.buoy("peer", "delete", "wrong")
    eventually(lambda: asked(cloud, "audit")[0], lambda code: code == 0)


def test_show_has_every_kind_in_json_with_every_field(cloud: Cloud, red: Guest, address: str) -> None:
    shown = {kind: _json(cloud, "show", kind, node="controller") for kind in (
        "addresses", "service-ips", "workloads", "subnets", "pools", "groups", "peers", "filters",
    )}  # fmt: skip
    assert {0} == {code for code, _ in shown.values()}
    [claim] = [row for row in shown["service-ips"][1] if row["address"] == address]
    assert ("translated", "both", [NODE], "active") == (
        claim["mode"],
        claim["direction"],
        claim["nodes"],
        claim["state"],
    )
    [port] = [row for row in shown["workloads"][1] if row["id"] == red["port"]]
    assert (NODE, red["interface"], sorted(red["addresses"])) == (
        port["node"],
        port["interface"],
        sorted(port["fixed_ips"]),
    )
    assert {address, *red["addresses"]} <= {row["address"] for row in shown["addresses"][1]}


def test_a_password_of_a_peer_is_shown_nowhere(cloud: Cloud) -> None:
    cloud.buoy("peer", "add", "secret", "--address", "192.0.2.1", "--asn", "64999", "--password", "open-sesame")
    for words in (("show", "peers"), ("peer", "list")):
        assert "open-sesame" not in asked(cloud, *words, "-o", "json", node="controller")[1]
    cloud.buoy("peer", "delete", "secret")
    assert [] == keys(cloud, "peers/secret")


def test_a_store_that_is_away_is_told_soon_and_the_agent_still_explains(cloud: Cloud, address: str) -> None:
    with killed(cloud, "controller", "etcd"):
        assert 0 == asked(cloud, "why", address)[0]
        code, text = asked(cloud, "status", node="controller")
        assert (3, True) == (code, text.startswith("buoy: "))


def test_a_drained_node_is_the_last_resort_and_nothing_is_withdrawn(cloud: Cloud, red: Guest, address: str) -> None:
    becomes(cloud, address, "ACTIVE")
    with events(cloud) as seen:
        assert 0 == asked(cloud, "agent", "drain")[0]
        eventually(lambda: "(65535,0)" in _route(cloud, address))
        cloud.lab.service("kill", NODE, "agent")
        cloud.lab.service("start", NODE, "agent")
        cloud.lab.wait_ready(NODE, "agent", 60)
        eventually(lambda: "draining" in asked(cloud, "status", node="controller")[1])
        assert "(65535,0)" in _route(cloud, address)
        assert "red" == cloud.http("access", address)
        asked(cloud, "agent", "undrain")
        eventually(lambda: "(65535,0)" not in _route(cloud, address))
        becomes(cloud, address, "ACTIVE")
    ours = (address, *red["addresses"])
    assert [] == [line for line in seen if line.startswith("Deleted") and any(each in line for each in ours)]


def _route(cloud: Cloud, address: str) -> str:
    return cloud.on("access", "birdc", "-s", "/run/buoy/bird.ctl", "show", "route", "all", "for", address)


@contextlib.contextmanager
def events(cloud: Cloud) -> Iterator[list[str]]:
    """Yield the router's route events; the list is filled at the end."""
    seen: list[str] = []
    command = cloud.lab.command("access", ["ip", "monitor", "route"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            # a route of our own shows that the monitor listens, and that it still did at the end
            marked = "198.51.100.0/24"
            assert process.stdout is not None
            eventually(lambda: _mark(cloud, marked) in process.stdout.readline())  # type: ignore[union-attr]
            yield seen
            _mark(cloud, "198.51.101.0/24")
            for line in process.stdout:
                seen.append(line)
                if "198.51.101.0/24" in line:
                    break
        finally:
            process.kill()


def _mark(cloud: Cloud, prefix: str) -> str:
    cloud.on("access", "ip", "route", "replace", "blackhole", prefix)
    cloud.on("access", "ip", "route", "delete", "blackhole", prefix)
    return prefix


def _json(cloud: Cloud, *words: str, node: str = NODE) -> tuple[int, Any]:
    done = cloud.lab.exec(node, "buoy", *words, "-o", "json", check=False)
    return done.returncode, json.loads(done.stdout)


def _refusal(cloud: Cloud, *words: str, names: str) -> tuple[int, bool]:
    code, text = asked(cloud, *words)
    return code, names in text
