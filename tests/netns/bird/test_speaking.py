# SPDX-License-Identifier: Apache-2.0
"""Loading a configuration, losing BIRD and getting it back, with real BIRDs."""

import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from buoy.model.address import Address, Prefix
from buoy.model.errors import DataplaneError
from buoy.model.peer import Bfd, BGPSettings, NextHop, Peer
from tests.netns.bird.cloud import Cloud, Router, until

ADDRESS = "10.28.0.13"
HOST = Prefix("10.28.0.13/32")


def _since(router: Router) -> dict[str, str]:
    return {session.name: session.since for session in router.speaker.sessions()}


def _announced(cloud: Cloud, settings: BGPSettings) -> tuple[Router, Router]:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    cloud.start(settings=settings)
    assert cloud.established()
    compute.tap("tap1")
    compute.announce(ADDRESS, "tap1")
    assert access.sees(ADDRESS, "via 192.168.8.3")
    access.tap("tap9")
    access.announce("10.28.0.9", "tap9")
    assert compute.sees("10.28.0.9", "via 192.168.8.1")
    return access, compute


@pytest.mark.parametrize("bfd", [None, Bfd(graceful=True)], ids=["without-bfd", "with-graceful-bfd"])
def test_bird_killed_and_started_again_is_no_event_at_the_peer_nor_in_its_own_table(
    cloud: Cloud, bfd: Bfd | None
) -> None:
    access, compute = _announced(cloud, BGPSettings(bfd=bfd))
    there, here = access.events(ADDRESS), compute.events("10.28.0.9")

    compute.stop_bird()
    compute.start()
    assert cloud.established()
    # a route announced after the restart arrives: the restart is over, nothing of it is still to come
    compute.announce("10.28.0.14", "tap1")
    assert access.sees("10.28.0.14", "via 192.168.8.3")
    assert until(lambda: "Recovery" not in compute.birdc("show status"))

    assert (there.stop(), here.stop()) == ([], [])


def test_bird_left_for_an_upgrade_is_no_event_either(cloud: Cloud) -> None:
    access, compute = _announced(cloud, BGPSettings())
    there, here = access.events(ADDRESS), compute.events("10.28.0.9")

    compute.speaker.leave_for_upgrade()
    compute.bird_ended()
    assert access.route(ADDRESS) != ""
    compute.start()
    assert cloud.established()

    assert (there.stop(), here.stop()) == ([], [])


def test_bird_stopped_for_good_withdraws(cloud: Cloud) -> None:
    access, compute = _announced(cloud, BGPSettings())

    compute.stop_bird(signal.SIGTERM)

    assert access.lost(ADDRESS)


def test_a_configuration_is_loaded_once_and_what_was_written_but_not_loaded_is_loaded_next(cloud: Cloud) -> None:
    compute = cloud.add("compute-1", 3)
    compute.start()
    compute.speaker.configure(compute.conf())
    loaded = _reconfigured(compute)

    compute.speaker.configure(compute.conf())
    assert _reconfigured(compute) == loaded, "nothing differs, so BIRD is not asked"

    compute.want(peers=(Peer(name="tor", address=Address("192.168.8.1"), asn=64999),))
    _killed_before_load(compute)
    assert compute.speaker.sessions() == ()
    compute.speaker.configure(compute.conf())

    assert [session.name for session in compute.speaker.sessions()] == ["peer_tor"]
    assert compute.speaker.text() == compute.conf()


def _reconfigured(router: Router) -> str:
    lines = router.birdc("show status").splitlines()
    return next(line for line in lines if line.startswith("Last reconfiguration"))


def _killed_before_load(router: Router) -> None:
    """Leave what an agent leaves that dies between the rename and the load: here BIRD cannot be asked."""
    away = router.socket.with_suffix(".away")
    router.socket.rename(away)
    with pytest.raises(DataplaneError):
        router.speaker.configure(router.conf())
    away.rename(router.socket)


def test_a_refused_configuration_leaves_file_and_bird_as_they_were(cloud: Cloud) -> None:
    compute = cloud.add("compute-1", 3)
    compute.start()
    compute.speaker.configure(compute.conf())
    before = compute.config.read_text()

    with pytest.raises(DataplaneError) as refused:
        compute.speaker.configure("protocol nonsense { }\n")

    assert "syntax error" in refused.value.stderr
    assert compute.config.read_text() == before
    assert sorted(path.name for path in Path(compute.directory).glob("bird.conf*")) == ["bird.conf"]
    assert compute.config.stat().st_mode & 0o007 == 0, "passwords are inside"


def test_a_bird_that_reads_another_file_is_reported(cloud: Cloud) -> None:
    compute = cloud.add("compute-1", 3)
    other = compute.directory / "other.conf"
    compute.start()
    compute.config.rename(other)
    compute.stop_bird()
    compute.config, mine = other, compute.config
    compute.start()
    compute.config = mine

    with pytest.raises(DataplaneError) as refused:
        compute.speaker.configure(compute.conf())

    assert f"was it started with -c {mine}?" in refused.value.stderr


def test_changing_one_peer_touches_no_other_session(cloud: Cloud) -> None:
    access, one, two = cloud.add("access", 1), cloud.add("compute-1", 3), cloud.add("compute-2", 4)
    cloud.start()
    assert cloud.established()
    one.tap("tap1")
    one.announce(ADDRESS, "tap1")
    assert two.sees(ADDRESS, "via 192.168.8.3")
    before, events = _since(one), two.events(ADDRESS)

    own = Peer(name="gw", address=access.addresses[0], asn=64512, hold_time=30, reflector_client=True)
    one.want(peers=(own,))
    one.speaker.configure(one.conf())
    assert until(lambda: "Established" in one.birdc("show protocols peer_gw"))
    one.want(peers=())
    one.speaker.configure(one.conf())

    kept = {name: since for name, since in before.items() if name != "node_access_v4"}
    assert {name: _since(one)[name] for name in kept} == kept
    assert events.stop() == []


def test_a_password_must_be_the_same_on_both_sides(cloud: Cloud) -> None:
    access, _ = cloud.add("access", 1), cloud.add("compute-1", 3)
    settings = BGPSettings(password=r"""it's a \b $ecret; # {x}""", bfd=Bfd(interval=200))
    cloud.start(settings=settings)
    assert cloud.established()

    access.want(settings=BGPSettings(password="another"))
    access.speaker.configure(access.conf())

    assert until(lambda: all(session.state != "Established" for session in access.speaker.sessions()))


def test_a_session_that_is_refused_says_why(cloud: Cloud) -> None:
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    wrong = Peer(name="gw", address=access.addresses[0], asn=64999, nodes=("compute-1",))
    cloud.start(wrong, settings=BGPSettings(mesh=False))
    access.want(peers=(Peer(name="c", address=compute.addresses[0], asn=64512),))
    access.speaker.configure(access.conf())

    assert until(lambda: ["Bad peer AS" in session.error for session in compute.speaker.sessions()] == [True])


@pytest.mark.parametrize("next_hop", list(NextHop))
def test_its_own_announcements_lead_to_a_node_whatever_it_keeps_of_others(cloud: Cloud, next_hop: NextHop) -> None:
    access, compute = _outside(cloud, next_hop=next_hop)
    compute.tap("tap1")
    compute.announce(ADDRESS, "tap1")
    assert access.sees(ADDRESS, "via 192.168.8.3")


def test_ttl_security_must_be_on_both_sides(cloud: Cloud) -> None:
    access, compute = _outside(cloud, ttl_security=True)
    (before,) = access.wanted.peers

    access.want(peers=(msgspec.structs.replace(before, ttl_security=False),))
    access.speaker.configure(access.conf())

    assert until(lambda: all(session.state != "Established" for session in compute.speaker.sessions()))


def _outside(cloud: Cloud, **more: Any) -> tuple[Router, Router]:  # noqa: ANN401  fields of a peer
    """Return a router of another AS and a node that speaks with it, alike on both sides."""
    access, compute = cloud.add("access", 1), cloud.add("compute-1", 3)
    access.want(settings=BGPSettings(asn=64999, mesh=False))
    cloud.start(settings=BGPSettings(mesh=False))
    for router, other, asn in ((access, compute, 64512), (compute, access, 64999)):
        router.want(peers=(Peer(name="gw", address=other.addresses[0], asn=asn, **more),))
        router.speaker.configure(router.conf())
    assert cloud.established()
    return access, compute


def test_a_session_can_be_disabled_and_enabled(cloud: Cloud) -> None:
    access, compute = _announced(cloud, BGPSettings())

    compute.speaker.disable("node_access_v4")
    assert access.lost(ADDRESS)
    assert {session.name: session.state for session in compute.speaker.sessions()}["node_access_v4"] == "Down"
    compute.speaker.enable("node_access_v4")

    assert access.sees(ADDRESS, "via 192.168.8.3")
    with pytest.raises(DataplaneError):
        compute.speaker.enable("nobody")
