# SPDX-License-Identifier: Apache-2.0
"""What BIRD 2.0.12 really printed, and what is read from it."""

import socket
import threading
from pathlib import Path

import pytest

from buoy.dataplane.bird import BirdSpeaker
from buoy.dataplane.bird_replies import disabled, established, prefixes, sessions, speakers
from buoy.dataplane.birdc import Reply, connect
from buoy.dataplane.driver import Speaker
from buoy.model.address import Address, Prefix
from buoy.model.errors import DataplaneError
from buoy.model.node import PeerSession
from buoy.model.reason import Reason, Withhold

PROTOCOLS = """\
Name       Proto      Table      State  Since         Info
uplinks    Direct     ---        up     2026-11-21 10:19:52  
peer_tor   BGP        ---        up     2026-11-21 10:19:53  Established   
peer_dead  BGP        ---        start  2026-11-21 10:19:54  Active        Socket: Connection refused
peer_down  BGP        ---        down   2026-11-21 10:19:55  
peer_short BGP        ---        up     10:19:55.123  Established   
announce4  Kernel     announced4 down   2026-11-21 10:19:56  
announced6_to_master6 Pipe       ---        down   10:19:56.144  announced6 <=> master6
""".splitlines()  # noqa: W291

DETAILS = """\
Name       Proto      Table      State  Since         Info
peer_tor   BGP        ---        up     2026-11-21 10:19:53  Established   
  BGP state:          Established
    Neighbor address: 192.0.2.1
    Neighbor AS:      64999
    Local AS:         64512
    Hold timer:       64.740/90
  Channel ipv4
    State:          UP
    Routes:         2 imported, 1 filtered, 7 exported, 2 preferred
    BGP Next hop:   192.0.2.3

peer_dead  BGP        ---        start  2026-11-21 10:19:54  Active        Socket: Connection refused
  BGP state:          Active
    Neighbor address: 2001:db8::1
    Neighbor AS:      64998
    Last error:       Socket: Connection refused
  Channel ipv6
    State:          DOWN

announce4  Kernel     announced4 up     2026-11-21 10:19:52  
  Channel ipv4
    Routes:         5 imported, 0 exported, 5 preferred
""".splitlines()  # noqa: W291


def test_only_established_bgp_sessions_count() -> None:
    assert established(PROTOCOLS) == ("peer_tor", "peer_short")
    assert speakers(PROTOCOLS) == ("peer_tor", "peer_dead", "peer_down", "peer_short")


def test_a_session_is_read_with_its_last_error_and_what_it_exported() -> None:
    assert sessions(DETAILS) == (
        PeerSession(
            name="peer_dead",
            address=Address("2001:db8::1"),
            asn=64998,
            state="Active",
            since="2026-11-21 10:19:54",
            error="Socket: Connection refused",
        ),
        PeerSession(
            name="peer_tor",
            address=Address("192.0.2.1"),
            asn=64999,
            state="Established",
            since="2026-11-21 10:19:53",
            exported=7,
        ),
    )
    assert sessions([]) == ()


def test_protocols_that_somebody_disabled_are_named() -> None:
    assert {"peer_down", "announce4", "announced6_to_master6"} == disabled(PROTOCOLS)


@pytest.mark.parametrize(("listed", "state"), [("down", "Down"), ("flush", "Flush")])
def test_a_session_that_fell_is_not_taken_for_one_that_was_shut_down(listed: str, state: str) -> None:
    head = f"peer_tor   BGP        ---        {listed:6} 2026-11-21 10:19:53  "
    shown = [DETAILS[0], head, "  BGP state:          Down", "    Neighbor address: 192.0.2.1"]
    assert [state] == [session.state for session in sessions(shown)]


def test_prefixes_are_read_from_a_listing_of_routes() -> None:
    listing = [
        "Table master4:",
        "10.28.0.13/32        unicast [announce4 2026-11-21 10:19:52] * (200)",
        "\tdev tap1",
        "Table master6:",
        "fd00:28::13/128      unreachable [announce6 2026-11-21 10:19:52] * (200)",
    ]

    assert prefixes(listing) == {Prefix("10.28.0.13/32"), Prefix("fd00:28::13/128")}


class _Socket:
    """A control socket that says one thing after the greeting, and then closes."""

    def __init__(self, path: Path, *pieces: bytes) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._pieces = pieces
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, self._listener:
            connection.sendall(b"0001 BIRD 2.0.12 ready.\n")
            connection.recv(100)
            for piece in self._pieces:
                connection.sendall(piece)


def test_a_reply_in_pieces_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "ctl"
    _Socket(path, b"1007-Table master4:\n 10.0.0.1/32 x\n", b"00", b"00 \n")

    with connect(str(path)) as bird:
        assert bird.ask("show route") == Reply(0, ("Table master4:", "10.0.0.1/32 x", ""))


def test_a_no_is_told_from_a_yes(tmp_path: Path) -> None:
    path = tmp_path / "ctl"
    _Socket(path, b"8002 bird.conf:1:1 syntax error\n")

    with connect(str(path)) as bird:
        reply = bird.ask("configure")

    assert (reply.refused, reply.text) == (True, "bird.conf:1:1 syntax error")


def test_a_bird_that_closes_in_the_middle_is_away(tmp_path: Path) -> None:
    path = tmp_path / "ctl"
    _Socket(path, b"1007-Table master4:\n")

    with connect(str(path)) as bird, pytest.raises(DataplaneError, match="closed the connection"):
        bird.ask("show route")


def test_a_bird_that_says_nothing_is_away_after_a_while(tmp_path: Path) -> None:
    path = tmp_path / "ctl"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(DataplaneError, match="does not answer"), connect(str(path), timeout=0.05):
            pass


def _said(path: str) -> str:
    with pytest.raises(DataplaneError) as said, connect(path, timeout=0.05):
        pass
    return said.value.stderr.removeprefix("BIRD does not answer: ")


def test_why_bird_does_not_answer_is_told_in_words(tmp_path: Path) -> None:
    hung, ended, nowhere = (str(tmp_path / name) for name in ("hung", "ended", "nowhere"))
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as gone:
        silent.bind(hung)
        silent.listen(0)
        gone.bind(ended)
        gone.close()
        assert "it is there and says nothing: it hangs" == _said(hung)
        assert "it is there and takes no more questions: it hangs" == _said(hung)
    assert ["it does not run, or with another control socket"] * 2 == [_said(ended), _said(nowhere)]
    assert "AF_UNIX path too long" == _said("/" + 200 * "x")
    assert "Not a directory" == _said(f"{__file__}/ctl")


def test_a_command_of_two_lines_is_never_sent(tmp_path: Path) -> None:
    path = tmp_path / "ctl"
    _Socket(path)

    with connect(str(path)) as bird, pytest.raises(DataplaneError, match="one line"):
        bird.ask("show status\nconfigure")


def test_without_a_bird_sessions_are_an_error_and_prefixes_are_withheld(tmp_path: Path) -> None:
    speaker: Speaker = BirdSpeaker(str(tmp_path / "bird.conf"), str(tmp_path / "ctl"), "compute-1")
    host = Prefix("192.0.2.7/32")

    with pytest.raises(DataplaneError):
        speaker.sessions()
    assert speaker.exported([host]) == {host: Withhold(Reason.BIRD_AWAY, {"node": "compute-1"})}
