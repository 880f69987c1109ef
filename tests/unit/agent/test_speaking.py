# SPDX-License-Identifier: Apache-2.0
"""BIRD's configuration while the store is believed, and while it is doubted."""

from pathlib import Path

import msgspec

from buoy.agent.passwords import reader
from buoy.agent.speaking import BirdConfiguration
from buoy.model.address import Address
from buoy.model.documents import Document, path
from buoy.model.errors import DataplaneError, InvalidInput
from buoy.model.peer import BGPSettings, Filter, Peer
from buoy.model.snapshot import Identity, Snapshot
from buoy.planner.peering_sessions import LocalNode

LOCAL = LocalNode(name="compute-1", addresses=(Address("192.0.2.3"),))
TOR = Peer(name="tor", address=Address("192.0.2.1"), asn=64999)
OTHER = Peer(name="other", address=Address("192.0.2.2"), asn=64999)


class Speaker:
    """A BIRD that takes every configuration."""

    def __init__(self) -> None:
        self.loaded = ""
        self.inside: frozenset[str] = frozenset()

    def text(self) -> str:
        return self.loaded

    def configure(self, text: str) -> None:
        self.loaded = text


def _snapshot(*documents: Document) -> Snapshot:
    return Snapshot(Identity("test", 1), {path(each): each for each in documents}, {}, {})


def _speaking() -> tuple[Speaker, BirdConfiguration]:
    speaker = Speaker()
    configuration = BirdConfiguration(speaker, LOCAL)  # type: ignore[arg-type]  # a BIRD without a process
    configuration.configure(_snapshot(TOR))
    return speaker, configuration


def test_a_session_that_a_doubted_store_does_not_know_goes_on_until_it_is_believed() -> None:
    speaker, configuration = _speaking()
    before = speaker.loaded
    configuration.changed(None, _snapshot())
    configuration.configure(_snapshot(), doubted=True)
    assert (("peer_tor",), before, 1.0) == (configuration.held, speaker.loaded, configuration.retry_in())
    configuration.configure(_snapshot())
    assert ((), False, None) == (configuration.held, "peer_tor" in speaker.loaded, configuration.retry_in())


def test_a_session_that_a_doubted_store_has_known_ends_when_it_says_so() -> None:
    speaker, configuration = _speaking()
    configuration.distrust()
    configuration.configure(_snapshot(TOR, OTHER), doubted=True)
    configuration.changed({"peers/other"}, _snapshot(TOR))
    configuration.configure(_snapshot(TOR), doubted=True)
    assert ((), True, False) == (configuration.held, "peer_tor" in speaker.loaded, "peer_other" in speaker.loaded)
    configuration.distrust()
    configuration.configure(_snapshot(), doubted=True)
    assert ("peer_tor",) == configuration.held


def test_a_filter_that_a_doubted_store_does_not_know_takes_nothing_back_until_it_is_believed() -> None:
    speaker, configuration = _speaking()
    few = Filter(name="few")
    peer = msgspec.structs.replace(TOR, export_filter="few")
    configuration.changed(None, _snapshot(peer, few))
    configuration.configure(_snapshot(peer, few))
    configuration.changed(None, _snapshot(peer))
    configuration.configure(_snapshot(peer), doubted=True)
    assert (("peer_tor",), False) == (configuration.held, "export none" in _peer_tor(speaker))
    configuration.configure(_snapshot(peer))
    assert ((), True) == (configuration.held, "export none" in _peer_tor(speaker))
    # what told nothing before takes nothing back
    configuration.changed(None, _snapshot(peer))
    configuration.configure(_snapshot(peer), doubted=True)
    assert () == configuration.held


def test_that_a_neighbour_is_a_node_is_known_and_ends_no_session() -> None:
    speaker, configuration = _speaking()
    before = speaker.loaded
    inside = _snapshot(msgspec.structs.replace(TOR, inside=True))
    configuration.changed({"peers/tor"}, inside)
    assert configuration.configure(inside)
    assert (frozenset({"peer_tor"}), before) == (speaker.inside, speaker.loaded)


def _peer_tor(speaker: Speaker) -> str:
    return speaker.loaded.partition("protocol bgp peer_tor {")[2]


def test_a_doubted_store_may_add_a_session() -> None:
    speaker, configuration = _speaking()
    configuration.changed({"peers/other"}, _snapshot(TOR, OTHER))
    configuration.configure(_snapshot(TOR, OTHER), doubted=True)
    assert ((), True, True) == (configuration.held, "peer_tor" in speaker.loaded, "peer_other" in speaker.loaded)


def test_settings_that_no_session_could_work_with_leave_the_last_good_ones_in_force_and_all_else_goes_on() -> None:
    speaker, configuration = _speaking()
    good, bad = BGPSettings(asn=64513), BGPSettings(asn=23456, mesh=False)
    configuration.changed({"settings/bgp"}, _snapshot(TOR, good))
    assert configuration.configure(_snapshot(TOR, good))
    configuration.changed({"settings/bgp", "peers/other"}, _snapshot(TOR, OTHER, bad))
    assert configuration.configure(_snapshot(TOR, OTHER, bad))
    assert (True, 2) == ("peer_other" in speaker.loaded, speaker.loaded.count(" as 64513;"))
    assert ["settings/bgp.asn"] == [each.field for each in configuration.problems if isinstance(each, InvalidInput)]


def test_an_agent_that_knows_no_good_settings_leaves_what_is_in_force() -> None:
    speaker, _ = _speaking()
    before, started = speaker.loaded, BirdConfiguration(speaker, LOCAL)  # type: ignore[arg-type]  # as above
    assert started.configure(_snapshot(OTHER, BGPSettings(asn=23456))) is False
    assert (before, 1) == (speaker.loaded, len(started.problems))


def test_what_somebody_else_put_in_force_is_replaced_when_everything_is_looked_at() -> None:
    speaker, configuration = _speaking()
    before, speaker.loaded = speaker.loaded, "somebody else's"
    configuration.configure(_snapshot(TOR))
    assert "somebody else's" == speaker.loaded
    configuration.doubt()
    configuration.configure(_snapshot(TOR))
    assert before == speaker.loaded


class Silent:
    """A BIRD that hangs."""

    tries = 0

    def text(self) -> str:
        return ""

    def configure(self, text: str) -> None:
        self.tries += 1
        raise DataplaneError("birdc", f"timed out over {len(text)} characters")


def test_a_bird_that_hangs_is_tried_once_a_second_however_often_something_else_happens() -> None:
    speaker, now = Silent(), 100.0
    configuration = BirdConfiguration(speaker, LOCAL, lambda: now)  # type: ignore[arg-type]  # a BIRD without a process
    for _ in range(3):
        configuration.configure(_snapshot(TOR))
    assert (1, 1.0, 1) == (speaker.tries, configuration.retry_in(), len(configuration.problems))
    now += 1
    configuration.configure(_snapshot(TOR))
    assert 2 == speaker.tries


def test_a_peer_is_spoken_with_once_its_password_is_there_and_not_before(tmp_path: Path) -> None:
    speaker = Speaker()
    configuration = BirdConfiguration(
        speaker,  # type: ignore[arg-type]  # a BIRD without a process
        LOCAL,
        password=reader(tmp_path),
    )
    snapshot = _snapshot(msgspec.structs.replace(TOR, password_from="bgp/tor"), OTHER)
    configuration.configure(snapshot)
    assert (False, True) == ("peer_tor" in speaker.loaded, "peer_other" in speaker.loaded)
    assert ["peers/tor.password_from"] == [str(error).split(":")[0] for error in configuration.problems]
    (tmp_path / "bgp").mkdir()
    (tmp_path / "bgp" / "tor").write_text("s3cret\n")
    configuration.doubt()
    configuration.configure(snapshot)
    assert ('password "s3cret";' in speaker.loaded, ()) == (True, configuration.problems)


def test_what_cannot_be_read_is_no_password(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "directory").mkdir()
    read = reader(tmp_path)
    assert ["", "", "", ""] == [read(name) for name in ("empty", "binary", "directory", "absent")]
