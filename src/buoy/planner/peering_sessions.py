# SPDX-License-Identifier: Apache-2.0
"""One BGP session of a node, resolved: from a Peer's document, or from the other nodes of the cluster.

Promises that what cannot work is refused naming its field; which of several sessions with one
neighbour is in force is not decided here (`peering.py`). The tricky thing is a password that stands
in a file: without it there is no session, for BIRD would take one without a password.
"""

from collections.abc import Mapping

import msgspec

from buoy.model.address import Address, family
from buoy.model.errors import InvalidInput
from buoy.model.peer import RESTART_TIME, Bfd, BGPSettings, Filter, NextHop, Peer
from buoy.planner.peering_addresses import facing, pairs
from buoy.planner.peering_names import symbol
from buoy.planner.peering_rules import HIDDEN, check_client, check_password, check_peer

_CONNECT_RETRY = 5


class LocalNode(msgspec.Struct, frozen=True, kw_only=True):
    """What a node knows of itself: `uplinks` are BIRD interface patterns, `log` a file (empty: standard error)."""

    name: str
    addresses: tuple[Address, ...]
    uplinks: tuple[str, ...] = ("-tap*", "*")
    log: str = ""


class PeeringWish(msgspec.Struct, frozen=True, kw_only=True):
    """Every document that has a say; `nodes` holds the addresses of living and remembered nodes."""

    settings: BGPSettings = BGPSettings()
    peers: tuple[Peer, ...] = ()
    filters: tuple[Filter, ...] = ()
    nodes: Mapping[str, tuple[Address, ...]] = {}
    passwords: Mapping[str, str] | None = None
    """By the file that holds them, "" where none is to be had; None away from the node, where nobody can look."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One BGP session, nothing left to decide; `name` is its name in BIRD. Times in seconds.

    `other` is our next hop in the other family, if the session carries that too (RFC 4760). A filter that
    is missing narrows: without the one for export it `tells` nothing, without the one for import it `hears` nothing.
    """

    name: str
    remote: Address
    remote_asn: int
    local: Address
    local_asn: int
    remote_port: int = 179
    local_port: int = 179
    password: str = ""
    hold_time: int = 90
    keepalive: int | None = None
    connect_retry: int = _CONNECT_RETRY
    bfd: Bfd | None = None
    graceful_restart: bool = True
    graceful_restart_time: int = RESTART_TIME
    multihop: int | None = None
    ttl_security: bool = False
    allow_local_as: int = 0
    next_hop: NextHop = NextHop.AUTO
    passive: bool = False
    client: bool = False
    other: Address | None = None
    export_filter: str = ""
    import_filter: str = ""
    tells: bool = True
    hears: bool = True
    inside: bool = False
    """Whether it is with another node of the cluster, though a Peer says so."""

    @property
    def internal(self) -> bool:
        """Whether both sides are in one AS (iBGP)."""
        return self.local_asn == self.remote_asn


def peer_session(local: LocalNode, wanted: PeeringWish, peer: Peer, filters: Mapping[str, Filter]) -> Session:
    """Return the session with a peer; raise `InvalidInput` if there can be none here."""
    settings = wanted.settings
    check_peer(peer)
    local_asn = peer.local_asn or settings.asn
    check_client(settings, peer)
    return Session(
        name=symbol("peer", peer.name),
        remote=peer.address,
        remote_asn=peer.asn,
        local=peer.source or facing(local.name, local.addresses, peer),
        local_asn=local_asn,
        remote_port=peer.port,
        local_port=settings.listen_port,
        password=_password(f"peers/{peer.name}", peer, wanted, local),
        hold_time=peer.hold_time,
        keepalive=peer.keepalive,
        connect_retry=peer.connect_retry,
        bfd=peer.bfd,
        graceful_restart=peer.graceful_restart,
        graceful_restart_time=peer.graceful_restart_time,
        multihop=peer.multihop,
        ttl_security=peer.ttl_security,
        allow_local_as=peer.allow_local_as,
        next_hop=peer.next_hop,
        passive=peer.passive,
        client=peer.reflector_client,
        other=next((address for address in local.addresses if family(address) != family(peer.address)), None),
        export_filter=peer.export_filter,
        import_filter=peer.import_filter,
        tells=not peer.export_filter or peer.export_filter in filters,
        hears=not peer.import_filter or peer.import_filter in filters,
        inside=peer.inside,
    )


def _password(at: str, said: Peer | BGPSettings, wanted: PeeringWish, local: LocalNode) -> str:
    """Return the password of a session; raise `InvalidInput` if it is not to be had, for none would be another one."""
    if not said.password_from:
        return said.password
    if wanted.passwords is None:
        # which one it is may change, and with it the session
        return f"{HIDDEN} {said.password_from}"
    field, found = f"{at}.password_from", wanted.passwords.get(said.password_from, "")
    if not found:
        remedy = f"no such password is on {local.name}: put it into that file beneath the agent's passwords, or, "
        remedy += "in Kubernetes, into a Secret that the agents mount, by name and key"
        raise InvalidInput(field, said.password_from, remedy)
    check_password(field, found)
    return found


def node_sessions(local: LocalNode, wanted: PeeringWish) -> tuple[list[Session], list[InvalidInput]]:
    """Return the sessions with other nodes, by reflectors or else as a mesh, and what is missing for more."""
    settings, nodes = wanted.settings, {**wanted.nodes, local.name: local.addresses}
    reflector = local.name in settings.reflectors
    if settings.reflectors:
        others = sorted(nodes if reflector else settings.reflectors)
    else:
        others = sorted(nodes) if settings.mesh else []
    missing = [
        InvalidInput("settings/bgp.reflectors", name, "no agent of that name has said its address: start it")
        for name in settings.reflectors
        if not nodes.get(name)
    ]
    others = [name for name in others if name != local.name]
    if not others:
        return [], missing
    try:
        password = _password("settings/bgp", settings, wanted, local)
    except InvalidInput as error:
        return [], [*missing, error]
    settings = msgspec.structs.replace(settings, password=password)
    sessions = [
        _node_session(settings, name, (own, theirs), client=reflector and name not in settings.reflectors)
        for name in others
        for own, theirs in pairs(local.addresses, nodes.get(name, ()))
    ]
    return sessions, missing


def _node_session(settings: BGPSettings, name: str, pair: tuple[Address, Address], *, client: bool) -> Session:
    own, theirs = pair
    return Session(
        name=f"{symbol('node', name)}_v{family(theirs)}",
        remote=theirs,
        remote_asn=settings.asn,
        local=own,
        local_asn=settings.asn,
        remote_port=settings.listen_port,
        local_port=settings.listen_port,
        password=settings.password,
        hold_time=settings.hold_time,
        bfd=settings.bfd,
        graceful_restart_time=settings.graceful_restart_time,
        client=client,
    )
