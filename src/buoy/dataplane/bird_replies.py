# SPDX-License-Identifier: Apache-2.0
"""What BIRD's listings say: pure parsing of `show protocols` and `show route`."""

import re
from collections.abc import Iterable, Iterator

from buoy.model.address import Address, Prefix
from buoy.model.node import PeerSession

_HEAD = re.compile(r"(?P<name>\S+) +BGP +\S+ +(?P<state>\S+) +(?P<since>\d[-\d:. ]*\d) *(?P<info>.*)")
_DOWN = re.compile(r"(?P<name>\S+) +\S+ +\S+ +down +\d.*")
_FIELD = re.compile(r" +(BGP state|Neighbor address|Neighbor AS|Last error): +(.+)")
# BIRD calls a session Down already while it forgets what one that fell had told, and then begins anew
_FLUSHES = "Flush"
_EXPORTED = re.compile(r" +Routes: .*?(\d+) exported")
_ROUTE = re.compile(r"([0-9a-f.:]+/\d+) ")


def established(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the established BGP sessions in `show protocols`."""
    heads = (_HEAD.fullmatch(line) for line in lines)
    return tuple(head["name"] for head in heads if head and head["info"].strip() == "Established")


def speakers(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the names of all BGP sessions in `show protocols`, established or not."""
    return tuple(head["name"] for line in lines if (head := _HEAD.fullmatch(line)))


def disabled(lines: Iterable[str]) -> frozenset[str]:
    """Return the names of all protocols, sessions or not, that `show protocols` has as down: shut down by somebody."""
    return frozenset(head["name"] for line in lines if (head := _DOWN.fullmatch(line)))


def sessions(lines: Iterable[str]) -> tuple[PeerSession, ...]:
    """Return the BGP sessions in `show protocols all`, by name."""
    found = (_session(head, block) for block in _blocks(lines) if (head := _HEAD.fullmatch(block[0])))
    return tuple(sorted(found, key=lambda session: session.name))


def prefixes(lines: Iterable[str]) -> frozenset[Prefix]:
    """Return the prefixes in `show route`."""
    return frozenset(Prefix(found[1]) for line in lines if (found := _ROUTE.match(line)))


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Cut a listing into protocols: each begins at the margin."""
    block: list[str] = []
    for line in lines:
        if line[:1].strip() and block:
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _session(head: re.Match[str], block: list[str]) -> PeerSession:
    fields = {found[1]: found[2].strip() for line in block if (found := _FIELD.fullmatch(line))}
    counts = [int(found[1]) for line in block if (found := _EXPORTED.match(line))]
    return PeerSession(
        name=head["name"],
        address=Address(fields.get("Neighbor address", "")),
        asn=int(fields.get("Neighbor AS", "0")),
        state=_FLUSHES if head["state"] == "flush" else fields.get("BGP state", "Down"),
        since=head["since"],
        error=fields.get("Last error", ""),
        exported=sum(counts),
    )
