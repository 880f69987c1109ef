# SPDX-License-Identifier: Apache-2.0
"""Which of its addresses a node speaks BGP from, and by which number it is known.

Promises that both ends of a session between nodes come to the same pair. The tricky
thing is a node without an IPv4 address: its router id comes from its name.
"""

import hashlib

from buoy.model.address import Address, family, packed, unpacked
from buoy.model.errors import InvalidInput
from buoy.model.peer import Peer


def facing(name: str, addresses: tuple[Address, ...], peer: Peer) -> Address:
    """Return the own address with the longest prefix in common with the peer's: the one on its network.

    Raises `InvalidInput` if the node has none of that family.
    """
    own = [address for address in addresses if family(address) == family(peer.address)]
    if not own:
        remedy = f"{name} has no IPv{family(peer.address)} address: give it one, or the peer a source"
        raise InvalidInput(f"peers/{peer.name}.address", peer.address, remedy)
    theirs = int.from_bytes(packed(peer.address), "big")
    return min(own, key=lambda address: (int.from_bytes(packed(address), "big") ^ theirs).bit_length())


def pairs(own: tuple[Address, ...], theirs: tuple[Address, ...]) -> list[tuple[Address, Address]]:
    """Return the first address of each side, per family both have: both nodes must come to the same pair."""
    firsts = [{family(address): address for address in reversed(side)} for side in (own, theirs)]
    return [(firsts[0][version], firsts[1][version]) for version in (4, 6) if version in firsts[0].keys() & firsts[1]]


def router_id(name: str, addresses: tuple[Address, ...]) -> Address:
    """Return the first IPv4 address; on a node without one, four bytes of its name, never zero (RFC 6286)."""
    for address in addresses:
        if family(address) == 4:
            return address
    digest = hashlib.sha256(name.encode()).digest()
    return unpacked(bytes([1 + digest[0] % 223, *digest[1:4]]))
