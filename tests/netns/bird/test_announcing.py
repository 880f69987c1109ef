# SPDX-License-Identifier: Apache-2.0
"""What a route in kernel table 2053 does at the peers, with real BIRDs."""

import pytest

from buoy.model import ownership
from buoy.model.address import Address, Prefix
from buoy.model.peer import Action, Bfd, BGPSettings, Filter, FilterRule, Peer
from buoy.model.reason import Reason, Withhold
from tests.netns.bird.cloud import Cloud, until

ADDRESS = "10.28.0.13"
HOST = Prefix("10.28.0.13/32")


def test_a_kernel_route_in_the_announcing_table_appears_in_the_peers_kernel_until_its_tap_goes(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    cloud.start()
    compute.tap("tap1")
    compute.announce(ADDRESS, "tap1")
    compute.announce("fd5f:5d21::d", "tap1")

    assert access.sees(ADDRESS, "10.28.0.13 via 192.168.8.3 dev eth0 proto bird metric 48")
    assert access.sees("fd5f:5d21::d", "via fd00:8::3 dev eth0 proto bird metric 48")
    assert compute.route(ADDRESS) == "", "a learned announcement must not come back into table main"
    assert compute.speaker.exported([HOST]) == {HOST: None}

    compute.ip("link del tap1")

    assert access.lost(ADDRESS)
    assert access.lost("fd5f:5d21::d")


def test_an_unreachable_announcement_leads_to_the_node_that_makes_it(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    cloud.start()
    compute.ip("route add unreachable 198.51.100.0/24 proto 205 metric 100 table 2053")
    compute.ip("route add unreachable 2001:db8:7::/64 proto 205 metric 100 table 2053")

    assert access.sees("198.51.100.0/24", "via 192.168.8.3 dev eth0 proto bird metric 48")
    assert access.sees("2001:db8:7::/64", "via fd00:8::3 dev eth0 proto bird metric 48")


def test_what_others_put_into_the_table_is_not_announced(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    cloud.start()
    compute.tap("tap1")
    compute.ip("route add 10.28.0.99 dev tap1 proto static metric 100 table 2053")
    compute.ip("route add 10.28.0.98 dev tap1 proto 205 metric 16")
    compute.announce(ADDRESS, "tap1")

    assert access.sees(ADDRESS, "via 192.168.8.3")
    assert (access.route("10.28.0.99"), access.route("10.28.0.98")) == ("", "")


def test_a_change_of_class_is_no_withdrawal_at_the_peer(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    cloud.start()
    compute.tap("tap1")
    compute.announce(ADDRESS, "tap1")
    assert access.sees(ADDRESS, "via 192.168.8.3")
    events = access.events(ADDRESS)

    for before, after in ((100, 200), (200, 300), (300, 100)):
        compute.announce(ADDRESS, "tap1", metric=after)
        compute.withdraw(ADDRESS, metric=before)
        local_pref = {200: "BGP.local_pref: 0", 300: "BGP.local_pref: 50", 100: "BGP.local_pref: 100"}[after]
        assert until(lambda wanted=local_pref: wanted in access.birdc(f"show route {HOST} all").replace("\t", ""))  # type: ignore[misc]

    assert events.stop() == []


def test_towards_another_as_draining_is_a_community_and_standby_a_longer_path(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    up = Peer(name="access", address=Address("192.168.8.1"), asn=64999)
    down = Peer(name="compute-1", address=Address("192.168.8.3"), asn=64512)
    access.want(settings=BGPSettings(asn=64999, mesh=False))
    cloud.start(up, down, settings=BGPSettings(mesh=False))
    compute.tap("tap1")
    compute.announce(ADDRESS, "tap1", metric=200)

    assert access.sees(ADDRESS, "via 192.168.8.3 dev eth0 proto bird metric 48")
    drained = access.birdc(f"show route {HOST} all")
    assert "BGP.community: (65535,0)" in drained
    assert "BGP.local_pref: 0" in drained

    compute.announce(ADDRESS, "tap1", metric=300)
    compute.withdraw(ADDRESS, metric=200)

    assert until(lambda: "BGP.as_path: 64512 64512 64512 64512" in access.birdc(f"show route {HOST} all"))


def test_an_address_of_two_nodes_is_one_route_with_two_ways_and_moves_without_a_gap(cloud: Cloud) -> None:
    access, old, new = cloud.add("access", 1), cloud.add("compute-1", 3), cloud.add("compute-2", 4)
    cloud.start()
    assert cloud.established()
    old.tap("tap1")
    new.tap("tap2")
    old.announce(ADDRESS, "tap1")
    assert access.sees(ADDRESS, "via 192.168.8.3")
    events = access.events(ADDRESS)

    new.announce(ADDRESS, "tap2")
    assert access.sees(ADDRESS, "nexthop via 192.168.8.3 dev eth0 weight 1 nexthop via 192.168.8.4 dev eth0 weight 1")
    assert old.speaker.exported([HOST]) == {HOST: None}
    old.withdraw(ADDRESS)

    assert access.sees(ADDRESS, "10.28.0.13 via 192.168.8.4 dev eth0 proto bird metric 48")
    assert old.sees(ADDRESS, "via 192.168.8.4 dev eth0 proto bird metric 48")
    assert [event for event in events.stop() if event.startswith("Deleted")] == []


def test_behind_a_reflector_both_ways_are_still_seen_and_keep_their_next_hops(cloud: Cloud) -> None:
    one, two, reflector, three = (cloud.add(*each) for each in (("n-1", 3), ("n-2", 4), ("rr", 5), ("n-3", 6)))
    cloud.start(settings=BGPSettings(reflectors=("rr",), cluster_id=Address("192.0.2.1")))
    assert cloud.established()
    assert [session.name for session in one.speaker.sessions()] == ["node_rr_v4", "node_rr_v6"]
    for router in (one, two):
        router.tap("tap1")
        router.announce(ADDRESS, "tap1")

    both = "nexthop via 192.168.8.3 dev eth0 weight 1 nexthop via 192.168.8.4 dev eth0 weight 1"
    assert three.sees(ADDRESS, both)
    assert reflector.sees(ADDRESS, both)
    assert reflector.speaker.exported([HOST]) != {HOST: None}, "what it passes on is not its own announcement"


def test_one_session_with_a_router_carries_both_families_if_the_router_takes_both(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    v6 = Prefix("2001:db8::7/128")
    up = Peer(name="access", address=Address("192.168.8.1"), asn=64999)
    down = Peer(name="compute-1", address=Address("192.168.8.3"), asn=64512)
    access.want(settings=BGPSettings(asn=64999, mesh=False))
    cloud.start(up, down, settings=BGPSettings(mesh=False))
    compute.tap("tap1")
    compute.announce(ADDRESS, "tap1")
    compute.announce("2001:db8::7", "tap1")

    assert access.sees(ADDRESS, "via 192.168.8.3")
    assert access.sees("2001:db8::7", "via fd00:8::3 dev eth0 proto bird metric 48")
    assert compute.speaker.exported([HOST, v6]) == {HOST: None, v6: None}

    access.addresses = access.addresses[:1]
    access.speaker.configure(access.conf())

    assert access.lost("2001:db8::7")
    assert access.sees(ADDRESS, "via 192.168.8.3")
    away = Withhold(Reason.NO_ESTABLISHED_PEER, {"node": "compute-1"})
    assert compute.speaker.exported([HOST, v6]) == {HOST: None, v6: away}


def test_a_filter_that_goes_takes_everything_back_and_ends_no_session(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    peer = Peer(name="to-r", address=access.addresses[0], asn=64512, nodes=("compute-1",), export_filter="few")
    cloud.start(peer, filters=(Filter(name="few"),))
    assert cloud.established()
    compute.tap("tap1")
    compute.announce(ADDRESS, "tap1")
    assert access.sees(ADDRESS, "via 192.168.8.3")
    since = compute.birdc("show protocols peer_to_r").split()

    compute.want(filters=())
    compute.speaker.configure(compute.conf())

    assert access.lost(ADDRESS)
    assert since == compute.birdc("show protocols peer_to_r").split()
    told = compute.speaker.exported([HOST])[HOST]
    assert told is not None
    assert told.reason is Reason.FILTERED_BY_EXPORT


def test_a_filtered_prefix_says_so_and_names_the_peers(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    rules = (
        FilterRule(action=Action.ACCEPT, prefix=Prefix("10.28.0.13/32")),
        FilterRule(action=Action.REJECT, prefix=Prefix("10.28.0.0/16")),
        FilterRule(action=Action.REJECT, prefix=Prefix("2001:db8::/32"), low=128),
    )
    only = Peer(name="to-r.1", address=access.addresses[0], asn=64512, nodes=("compute-1",), export_filter="few")
    cloud.start(only, filters=(Filter(name="few", rules=rules),))
    assert cloud.established()
    compute.tap("tap1")
    for prefix in ("10.28.0.13", "10.28.0.14", "10.29.0.1", "2001:db8::7"):
        compute.announce(prefix, "tap1")
    assert access.sees("10.29.0.1", "via 192.168.8.3")

    few, away = Prefix("10.28.0.14/32"), Prefix("10.28.0.77/32")
    told = compute.speaker.exported([HOST, few, away])

    assert told[HOST] is None
    filtered = Withhold(
        Reason.FILTERED_BY_EXPORT,
        {"address": "10.28.0.14/32", "node": "compute-1", "peers": "peer_to_r__1", "peer": "peer_to_r__1"},
    )
    assert told[few] == filtered
    assert "route for 10.28.0.14/32 noexport peer_to_r__1;" in filtered.remedy
    assert [each.reason for each in told.values() if each] == [Reason.FILTERED_BY_EXPORT, Reason.NOT_VERIFIED]
    assert access.sees("2001:db8::7", "via fd00:8::3"), "the filter is that peer's, the session between nodes has none"


@pytest.mark.parametrize("protocol", ["announce4", "announced4_to_master4"])
def test_a_protocol_of_ours_that_somebody_disabled_is_named_with_what_enables_it(cloud: Cloud, protocol: str) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    v6 = Prefix("2001:db8::7/128")
    cloud.start()
    compute.tap("tap1")
    compute.announce(ADDRESS, "tap1")
    compute.announce("2001:db8::7", "tap1")
    assert access.sees(ADDRESS, "via 192.168.8.3")
    assert access.sees("2001:db8::7", "via fd00:8::3")
    details = {"address": HOST, "node": "compute-1", "protocol": protocol}

    compute.birdc(f"disable {protocol}")

    assert access.lost(ADDRESS)
    told = compute.speaker.exported([HOST, v6])
    assert {HOST: Withhold(Reason.PROTOCOL_DISABLED, details), v6: None} == told
    command = Withhold(Reason.PROTOCOL_DISABLED, details).remedy.rpartition(f"{ownership.BIRD_SOCKET} ")[2]
    assert f"enable {protocol}" == command
    compute.birdc(command)
    assert access.sees(ADDRESS, "via 192.168.8.3")
    assert compute.speaker.exported([HOST]) == {HOST: None}


def test_without_a_session_of_its_family_an_address_has_no_peer_and_without_bird_it_has_no_bird(cloud: Cloud) -> None:
    compute = cloud.add("compute-1", 3)
    cloud.start()
    v6 = Prefix("2001:db8::7/128")

    assert compute.speaker.exported([HOST, v6]) == {
        prefix: Withhold(Reason.NO_ESTABLISHED_PEER, {"node": "compute-1"}) for prefix in (HOST, v6)
    }
    compute.stop_bird()
    assert compute.speaker.exported([HOST]) == {HOST: Withhold(Reason.BIRD_AWAY, {"node": "compute-1"})}


def test_many_prefixes_are_told_as_few_are(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    cloud.start()
    compute.tap("tap1")
    many = [Prefix(f"10.30.{n // 250}.{n % 250}/32") for n in range(400)]
    batch = compute.directory / "batch"
    batch.write_text("".join(f"route add {each} dev tap1 proto 205 metric 100 table 2053\n" for each in many))
    compute.ip(f"-batch {batch}")
    assert access.sees("10.30.1.149", "via 192.168.8.3")

    absent = Prefix("10.31.0.1/32")
    told = compute.speaker.exported([*many, absent])

    assert [prefix for prefix, answer in told.items() if answer is None] == many
    assert told[absent] == Withhold(
        Reason.NOT_VERIFIED,
        {"address": absent, "node": "compute-1", "missing": "BIRD's learned route from kernel table 2053"},
    )


def test_bfd_notices_a_silent_node_long_before_the_hold_time(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    cloud.start(settings=BGPSettings(bfd=Bfd()))
    assert cloud.established()
    compute.tap("tap1")
    compute.announce(ADDRESS, "tap1")
    assert access.sees(ADDRESS, "via 192.168.8.3")
    assert until(lambda: access.birdc("show bfd sessions").count(" Up ") == 2)

    # packets die inside the node: no link goes down anywhere, so nobody is told of the loss
    compute.hush()

    assert until(lambda: access.route(ADDRESS) == "", seconds=10)
