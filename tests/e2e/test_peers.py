# SPDX-License-Identifier: Apache-2.0
"""BGP neighbours: each option of `buoy peer`, as the router at the other end and BIRD on the node see it."""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from buoy.lab.lab import Lab
from tests.e2e.cloud import Cloud, eventually, fresh_name
from tests.e2e.routers import NODES, PORT, Router, birdc, on_node, peer, reconfigured, sessions, states

AT = ("--port", str(PORT), "--connect-retry", "1")
EVERYWHERE = set(NODES)
SECONDS = 30
"""A session comes up within two of BIRD's attempts; the rest is for a busy machine."""


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A lab of three nodes with one port, which has an address of each family, on the third."""
    lab = Lab(fresh_name("peers")).up(nodes=3)
    made = Cloud(lab)
    try:
        # to the router, and to two nodes in each family: what comes up later is no change of ours
        eventually(lambda: [len(sessions(made, node)) for node in NODES], [5, 5, 5].__eq__, seconds=SECONDS)
        yield made
    finally:
        made.close()
        lab.down()


@pytest.fixture(scope="module")
def port(cloud: Cloud) -> dict[str, Any]:
    """A port on compute-3 with a tap."""
    cloud.openstack("network", "create", "plain")
    cloud.openstack("subnet", "create", "--network", "plain", "--subnet-range", "10.44.0.0/24", "plain-v4")
    words = ("--network", "plain", "--host", "compute-3", "--device-owner", "compute:nova", "--fixed-ip")
    made = dict(cloud.get("port", "create", *words, "subnet=plain-v4,ip-address=10.44.0.10", "web"))
    tap = f"tap{made['id'][:11]}"
    cloud.on("compute-3", "ip", "link", "add", tap, "up", "type", "veth", "peer", "name", "guest")
    cloud.on("compute-3", "ip", "link", "set", "guest", "up")
    eventually(lambda: "10.44.0.10" in cloud.routes("access"), seconds=SECONDS)
    return made


def test_the_address_the_as_and_the_port_are_what_was_given(cloud: Cloud) -> None:
    router = Router(cloud, "plain", "192.168.8.21", 65021).start()
    before = {node: sessions(cloud, node) for node in NODES}
    assert "peers/plain created\n" == cloud.buoy(
        "peer", "add", "plain", "--address", router.address, "--asn", "65021", *AT
    )
    eventually(router.established, EVERYWHERE.__eq__, seconds=SECONDS)
    said = on_node(cloud, "compute-1", "plain")
    assert ["192.168.8.21", "65021", "64512"] == re.findall(r"(?:Neighbor address|Neighbor AS|Local AS): +(\S+)", said)
    eventually(partial(states, cloud, "plain"), dict.fromkeys(NODES, "Established").__eq__, seconds=SECONDS)
    after = {node: sessions(cloud, node) for node in NODES}
    assert before == {node: {name: at for name, at in after[node].items() if name != "peer_plain"} for node in NODES}


def test_a_wrong_as_is_told_by_node_and_set_right(cloud: Cloud) -> None:
    router = Router(cloud, "misled", "192.168.8.22", 65022).start()
    cloud.buoy("peer", "add", "misled", "--address", router.address, "--asn", "65099", *AT, "--node", "compute-1")

    def errors() -> list[tuple[str, bool]]:
        return [(one["node"], "Bad peer AS" in one.get("error", "")) for one in peer(cloud, "misled")["sessions"]]

    eventually(errors, [("compute-1", True)].__eq__, seconds=SECONDS)
    [row] = [one for one in json.loads(cloud.buoy("peer", "list", "-o", "json")) if one["name"] == "misled"]
    assert "0/1" == row["established"]
    cloud.buoy("peer", "set", "misled", "--asn", "65022")
    eventually(router.established, {"compute-1"}.__eq__, seconds=SECONDS)
    cloud.buoy("peer", "delete", "misled")
    eventually(router.established, set().__eq__, seconds=SECONDS)


def test_a_password_must_be_the_same_on_both_sides_and_is_shown_nowhere(cloud: Cloud) -> None:
    router = Router(cloud, "locked", "192.168.8.23", 65023).start('password "r0uter s3cret";')
    cloud.buoy("peer", "add", "locked", "--address", router.address, "--asn", "65023", *AT, "--password", "wrong")
    eventually(partial(states, cloud, "locked"), lambda seen: set(seen) == EVERYWHERE, seconds=SECONDS)
    assert "Established" not in states(cloud, "locked").values()
    cloud.lab.exec("controller", "buoy", "peer", "set", "locked", "--password-file", "-", text="r0uter s3cret\n")
    eventually(router.established, EVERYWHERE.__eq__, seconds=SECONDS)
    words = ("peer show locked", "peer list -o json", "show peers -o json", "show peers -o wide")
    printed = cloud.on("controller", "sh", "-ec", "; ".join(f"buoy {each}" for each in words))
    assert (len(words), False) == (printed.count("(hidden)"), "s3cret" in printed)
    assert "s3cret" in cloud.buoy("peer", "show", "locked", "--show-password")
    cloud.buoy("peer", "delete", "locked")


def test_timers_and_graceful_restart_are_negotiated_as_given(cloud: Cloud) -> None:
    router = Router(cloud, "plain", "192.168.8.21", 65021)
    assert "Graceful restart" in _neighbour_capabilities(router)
    cloud.buoy("peer", "set", "plain", "--hold-time", "12", "--keepalive", "3", "--no-graceful-restart")
    pattern = r"(?:Hold|Keepalive) timer: +[\d.]+/(\d+)"
    seen = partial(on_node, cloud, "compute-1", "plain")
    eventually(lambda: re.findall(pattern, seen()), ["12", "3"].__eq__, seconds=SECONDS)
    eventually(lambda: re.findall(pattern, router.session("compute-1")), ["12", "4"].__eq__, seconds=SECONDS)
    assert "Graceful restart" not in _neighbour_capabilities(router)


def _neighbour_capabilities(router: Router) -> str:
    return router.session("compute-1").partition("Neighbor capabilities")[2].partition("Session:")[0]


def test_bfd_is_as_given_and_ends_when_it_is_taken_away(cloud: Cloud) -> None:
    def seen() -> list[list[str]]:
        lines = birdc(cloud, "compute-1", "show", "bfd", "sessions").splitlines()
        return [[line.split()[2], *line.split()[-2:]] for line in lines if line.startswith("192.168.8.1 ")]

    eventually(seen, [["Up", "0.100", "0.500"]].__eq__, seconds=SECONDS)
    cloud.buoy("peer", "set", "access", "--bfd-interval", "200", "--bfd-multiplier", "4")
    # RFC 5880, 6.8.4: the slower side's interval, as often as the other side's multiplier says
    eventually(seen, [["Up", "0.200", "1.000"]].__eq__, seconds=SECONDS)
    assert re.search(r"192\.168\.8\.3 +eth0 +Up .* 0\.200 +0\.800", birdc(cloud, "access", "show", "bfd", "sessions"))
    cut = "table inet cut { chain in { type filter hook input priority 0; ip saddr 192.168.8.3 drop; }; }"
    cloud.lab.exec("access", "nft", "-f", "-", text=cut)
    # long before the hold time of 90 seconds
    eventually(lambda: "peer_access" in sessions(cloud, "compute-1"), False.__eq__, seconds=5)
    cloud.on("access", "nft", "delete", "table", "inet", "cut")
    cloud.buoy("peer", "set", "access", "--no-bfd")
    eventually(seen, [].__eq__, seconds=SECONDS)
    eventually(partial(states, cloud, "access"), dict.fromkeys(NODES, "Established").__eq__, seconds=SECONDS)


def test_a_router_behind_another_needs_multihop(cloud: Cloud) -> None:
    router = Router(cloud, "far", "203.0.113.9", 65024).start("multihop 3;", {"compute-1": NODES["compute-1"]})
    cloud.on("compute-1", "ip", "route", "add", "203.0.113.9/32", "via", "192.168.8.1")
    cloud.buoy("peer", "add", "far", "--address", router.address, "--asn", "65024", *AT, "--node", "compute-1")
    why = "peer_far (Idle: 203.0.113.9 is in no network that is up; "
    eventually(lambda: [why in cloud.buoy(ask, node="compute-1", check=False) for ask in ("status", "doctor")], all, 30)
    cloud.buoy("peer", "set", "far", "--multihop", "3")
    eventually(router.established, {"compute-1"}.__eq__, seconds=SECONDS)
    cloud.buoy("peer", "delete", "far")


def test_the_source_address_is_the_one_given(cloud: Cloud) -> None:
    router = Router(cloud, "picky", "192.168.8.25", 65025).start(neighbours={"compute-2": "192.168.8.104"})
    cloud.on("compute-2", "ip", "address", "add", "192.168.8.104/24", "dev", "eth0")
    words = ("--address", router.address, "--asn", "65025", *AT, "--node", "compute-2", "--source", "192.168.8.104")
    cloud.buoy("peer", "add", "picky", *words)
    eventually(router.established, {"compute-2"}.__eq__, seconds=SECONDS)
    cloud.buoy("peer", "delete", "picky")


def test_a_passive_peer_is_waited_for_and_hears_the_as_that_it_alone_knows_us_by(
    cloud: Cloud, port: dict[str, Any]
) -> None:
    assert port["name"] == "web"
    nodes = {"compute-3": NODES["compute-3"]}
    router = Router(cloud, "shy", "192.168.8.30", 65030, nodes_asn=64700).start("passive on;", nodes)
    words = ("--address", router.address, "--asn", "65030", *AT, "--node", "compute-3")
    cloud.buoy("peer", "add", "shy", *words, "--local-asn", "64700", "--passive")
    eventually(lambda: "Passive" in on_node(cloud, "compute-3", "shy"), seconds=SECONDS)
    assert set() == router.established()
    router.start("", nodes)
    eventually(router.routes, {"10.44.0.10/32": "compute-3"}.__eq__, seconds=SECONDS)
    assert "BGP.as_path: 64700\n" in router.ask("show", "route", "10.44.0.10/32", "all")
    assert ["65030", "64700"] == re.findall(r"(?:Neighbor|Local) AS: +(\S+)", on_node(cloud, "compute-3", "shy"))
    # who connected to whom: the node has the port that is waited at
    assert re.search(r"192\.168\.8\.5:179 +192\.168\.8\.30:", cloud.on("compute-3", "ss", "-Htn"))
    cloud.buoy("peer", "set", "shy", "--local-asn", "0", "--active")
    Router(cloud, "shy", "192.168.8.30", 65030).start("passive on;", nodes)
    eventually(router.routes, {"10.44.0.10/32": "compute-3"}.__eq__, seconds=SECONDS)
    assert "BGP.as_path: 64512\n" in router.ask("show", "route", "10.44.0.10/32", "all")
    cloud.buoy("peer", "delete", "shy")


def test_an_ipv6_session_carries_both_families(cloud: Cloud, port: dict[str, Any]) -> None:
    assert port["name"] == "web"
    nodes = {"compute-3": "fd00:8::5"}
    router = Router(cloud, "six", "fd00:8::26", 65026).start(neighbours=nodes)
    words = ("--address", router.address, "--asn", "65026", *AT, "--node", "compute-3")
    cloud.buoy("peer", "add", "six", *words)
    eventually(router.established, {"compute-3"}.__eq__, seconds=SECONDS)
    eventually(router.routes, {"10.44.0.10/32": "compute-3"}.__eq__, seconds=SECONDS)
    assert "BGP.next_hop: 192.168.8.5" in router.ask("show", "route", "10.44.0.10/32", "all")
    cloud.buoy("peer", "delete", "six")


def test_a_filter_decides_what_a_peer_is_told_and_its_change_ends_no_session(
    cloud: Cloud, port: dict[str, Any]
) -> None:
    assert port["name"] == "web"
    router = Router(cloud, "plain", "192.168.8.21", 65021)
    eventually(router.routes, {"10.44.0.10/32": "compute-3"}.__eq__, seconds=SECONDS)
    cloud.buoy("filter", "add", "few", "reject 10.44.0.0/24 32..32")
    cloud.buoy("peer", "set", "plain", "--export-filter", "few")
    eventually(router.routes, {}.__eq__, seconds=SECONDS)
    before = sessions(cloud, "compute-3")
    cloud.buoy("filter", "set", "few", "accept 10.44.0.10/32", "reject 0.0.0.0/0")
    eventually(router.routes, {"10.44.0.10/32": "compute-3"}.__eq__, seconds=SECONDS)
    assert before == sessions(cloud, "compute-3")
    assert 4 == cloud.lab.exec("controller", "buoy", "filter", "delete", "few", check=False).returncode


def test_a_service_ip_is_added_and_taken_away_and_no_bird_reads_its_configuration_again(
    cloud: Cloud, port: dict[str, Any]
) -> None:
    before = {node: (reconfigured(cloud, node), sessions(cloud, node)) for node in NODES}
    fixed = "subnet=plain-v4,ip-address=10.44.0.250"
    cloud.openstack("port", "set", "--fixed-ip", fixed, port["id"])
    eventually(lambda: "10.44.0.250" in cloud.routes("access"), seconds=SECONDS)
    cloud.openstack("port", "unset", "--fixed-ip", fixed, port["id"])
    eventually(lambda: "10.44.0.250" not in cloud.routes("access"), seconds=SECONDS)
    assert before == {node: (reconfigured(cloud, node), sessions(cloud, node)) for node in NODES}


YAML = """
kind: Filter
name: none-of-it
rules:
- {action: reject, prefix: 0.0.0.0/0}
---
kind: Peer
name: filed
address: 192.168.8.27
asn: 65027
port: 1790
connect_retry: 1
hold_time: 30
nodes: [compute-2, compute-3]
export_filter: none-of-it
"""


def test_a_file_is_written_as_a_whole_and_with_one_bad_document_not_at_all(cloud: Cloud) -> None:
    router = Router(cloud, "filed", "192.168.8.27", 65027).start()
    before = cloud.buoy("peer", "list", "-o", "json")
    bad = f"{YAML}---\nkind: Peer\nname: broken\naddress: 192.168.8.28\nasn: many\n"
    refused = _apply(cloud, bad)
    assert (2, "") == (refused.returncode, refused.stdout)
    assert re.match(r"buoy: \S+ document 3\.asn: .*many.*int", refused.stderr), refused.stderr
    assert before == cloud.buoy("peer", "list", "-o", "json")
    assert "none-of-it" not in cloud.buoy("filter", "list")
    assert "filters/none-of-it created\npeers/filed created\n" == _apply(cloud, YAML).stdout
    eventually(router.established, {"compute-2", "compute-3"}.__eq__, seconds=SECONDS)
    assert {} == router.routes()
    assert "filters/none-of-it unchanged\npeers/filed unchanged\n" == _apply(cloud, YAML).stdout


def _apply(cloud: Cloud, text: str) -> Any:  # noqa: ANN401  # a completed process
    cloud.lab.exec("controller", "tee", "/run/tmp/peers.yaml", text=text)
    return cloud.lab.exec("controller", "buoy", "apply", "-f", "/run/tmp/peers.yaml", check=False)


def test_with_a_reflector_instead_of_the_mesh_every_node_still_knows_the_way(
    cloud: Cloud, port: dict[str, Any]
) -> None:
    assert port["name"] == "web"
    mesh = {"node_compute_1_v4", "node_compute_1_v6", "node_compute_3_v4", "node_compute_3_v6"}
    assert mesh == _between_nodes(cloud, "compute-2")
    cloud.buoy("bgp", "set", "--reflector", "compute-1", "--cluster-id", "192.0.2.250")
    star = {"node_compute_1_v4", "node_compute_1_v6"}
    for node in ("compute-2", "compute-3"):
        eventually(partial(_between_nodes, cloud, node), star.__eq__, seconds=SECONDS)
    said = eventually(
        lambda: birdc(cloud, "compute-2", "show", "route", "10.44.0.10/32", "all"),
        lambda said: "192.0.2.250" in said, seconds=SECONDS,
    )  # fmt: skip
    assert ["192.168.8.5", "192.168.8.5", "192.0.2.250"] == re.findall(
        r"BGP\.(?:next_hop|originator_id|cluster_list): (\S+)", said
    )
    assert "via 192.168.8.5 dev eth0 proto bird" in cloud.routes("compute-2")["10.44.0.10"]
    client = Router(cloud, "inside", "192.168.8.29", 64512).start(neighbours={"compute-1": NODES["compute-1"]})
    words = ("--address", client.address, "--asn", "64512", *AT, "--node", "compute-1", "--reflector-client")
    cloud.buoy("peer", "add", "inside", *words)
    eventually(client.routes, {"10.44.0.10/32": "compute-1"}.__eq__, seconds=SECONDS)
    cloud.buoy("peer", "delete", "inside")
    cloud.buoy("bgp", "set", "--reflector", "", "--cluster-id", "")
    eventually(partial(_between_nodes, cloud, "compute-2"), mesh.__eq__, seconds=SECONDS)


def test_settings_of_the_cluster_are_those_of_the_sessions_between_its_nodes_alone(cloud: Cloud) -> None:
    before = _with_peers(cloud)
    words = ("--password-file", "-", "--hold-time", "30", "--originate", "198.51.100.0/24")
    cloud.lab.exec("controller", "buoy", "bgp", "set", *words, text="between us\n")

    def timers() -> list[str]:
        said = birdc(cloud, "compute-2", "show", "protocols", "all", '"node_*"')
        return re.findall(r"Hold timer: +[\d.]+/(\d+)", said)

    eventually(timers, (["30"] * 4).__eq__, seconds=SECONDS)
    assert "between us" not in cloud.buoy("bgp", "show", "-o", "json")
    told = partial(birdc, cloud, "access", "show", "route", "198.51.100.0/24", "all")
    eventually(lambda: told().count("BGP.next_hop"), len(NODES).__eq__, seconds=SECONDS)
    assert "blackhole 198.51.100.0/24 proto 205" in cloud.on("compute-1", "ip", "route")
    assert before == _with_peers(cloud)


def _with_peers(cloud: Cloud) -> dict[str, dict[str, str]]:
    """Return since when sessions with the lab's own router are."""
    return {node: {name: at for name, at in sessions(cloud, node).items() if name == "peer_access"} for node in NODES}


def _between_nodes(cloud: Cloud, node: str) -> set[str]:
    return {name for name in sessions(cloud, node) if name.startswith("node_")}
