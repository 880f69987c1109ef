# SPDX-License-Identifier: Apache-2.0
"""What BIRD tells its peers of this node's own announcements, prefix by prefix.

Only routes this node's announcing protocols learned are counted: a route
reflector also passes on what other nodes announce, even for the same prefix. Where
routers were given, they alone count (`planner/peering_names.py`, `outward`).
"""

from collections.abc import Collection, Mapping

from buoy.dataplane.bird_replies import disabled, established, prefixes, speakers
from buoy.dataplane.birdc import Birdc
from buoy.model.address import Prefix, family
from buoy.model.ownership import ANNOUNCE_TABLE
from buoy.model.reason import Reason, Withhold
from buoy.planner.peering_names import outward

ONE_BY_ONE = 300
"""Up to so many prefixes are asked for singly (30 µs each); above, one listing per session is cheaper."""


def exported(
    bird: Birdc, wanted: Collection[Prefix], node: str, inside: Collection[str] = ()
) -> Mapping[Prefix, Withhold | None]:
    """Tell for each prefix why no established peer is told of it by `node`; None: at least one is.

    `inside` are sessions with other nodes.
    """
    listing = bird.ask("show protocols").lines
    counting = outward(speakers(listing), inside)
    peers = [name for name in established(listing) if name in counting]
    down = disabled(listing)
    answers: dict[Prefix, Withhold | None] = {}
    for version in (4, 6):
        of_family = frozenset(prefix for prefix in wanted if family(prefix) == version)
        if of_family:
            speak = [peer for peer in peers if _speaks(bird, peer, version)]
            answers.update(_of_family(bird, of_family, speak, node, _stopped(version, down)))
    return {prefix: answers[prefix] for prefix in wanted}


def _of_family(
    bird: Birdc, wanted: frozenset[Prefix], peers: list[str], node: str, stopped: str
) -> dict[Prefix, Withhold | None]:
    if not peers:
        return dict.fromkeys(wanted, Withhold(Reason.NO_ESTABLISHED_PEER, {"node": node}))
    answers: dict[Prefix, Withhold | None] = {}
    left = wanted
    for peer in peers:
        told = _listed(bird, left, f"export {peer}")
        answers.update(dict.fromkeys(told))
        left -= told
        if not left:
            return answers
    learned = _listed(bird, left, f"table master{family(next(iter(left)))}")
    for prefix in left:
        answers[prefix] = _filtered(prefix, node, peers) if prefix in learned else _unlearned(prefix, node, stopped)
    return answers


def _stopped(version: int, down: frozenset[str]) -> str:
    """Return the protocol that is down of those a route of ours passes in BIRD on its way to the peers; else empty."""
    passed = (f"announce{version}", f"announced{version}_to_master{version}")
    return next((name for name in passed if name in down), "")


def _speaks(bird: Birdc, peer: str, version: int) -> bool:
    """Ask for a route of no length; BIRD answers 9001 if the session has no channel of that family."""
    return bird.ask(f"show route {'::/0' if version == 6 else '0.0.0.0/0'} export {peer}").code < 9000


def _listed(bird: Birdc, wanted: frozenset[Prefix], where: str) -> frozenset[Prefix]:
    """Return which of the prefixes, all of one family, BIRD lists as our own in some place."""
    ours = f"protocol announce{family(next(iter(wanted)))} {where}"
    if len(wanted) > ONE_BY_ONE:
        return prefixes(bird.ask(f"show route {ours}").lines) & wanted
    return frozenset(prefix for prefix in wanted if prefix in prefixes(bird.ask(f"show route {prefix} {ours}").lines))


def _filtered(prefix: Prefix, node: str, peers: list[str]) -> Withhold:
    # the remedy is a command to paste, and BIRD takes one session in it
    details = {"address": prefix, "node": node, "peers": ", ".join(peers), "peer": peers[0]}
    return Withhold(Reason.FILTERED_BY_EXPORT, details)


def _unlearned(prefix: Prefix, node: str, stopped: str) -> Withhold:
    if stopped:
        return Withhold(Reason.PROTOCOL_DISABLED, {"address": prefix, "node": node, "protocol": stopped})
    missing = f"BIRD's learned route from kernel table {ANNOUNCE_TABLE}"
    return Withhold(Reason.NOT_VERIFIED, {"address": prefix, "node": node, "missing": missing})
