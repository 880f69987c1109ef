# SPDX-License-Identifier: Apache-2.0
"""By which names BIRD knows peers, nodes and filters, and what such a name tells of a session.

Promises that distinct things have distinct names. The tricky thing: which sessions lead out of the
cluster is asked of BIRD's own list of sessions, which has nothing but their names.
"""

import hashlib
import re
from collections.abc import Iterable

from buoy.model.peer import Peer

_PLAIN = re.compile(r"[A-Za-z0-9]+([-.][A-Za-z0-9]+)*")
_SYMBOL = 40
_OUTER = "peer"


def symbol(kind: str, name: str) -> str:
    """Return the name BIRD knows a peer, node or filter by: distinct for distinct names, and needing no quotes."""
    if _PLAIN.fullmatch(name) and len(name) <= _SYMBOL:
        return f"{kind}_{name.replace('.', '__').replace('-', '_')}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{kind}_{re.sub('[^A-Za-z0-9]', '_', name)[: _SYMBOL // 2]}___{digest}"


def session_name(peer: Peer) -> str:
    """Return the name BIRD knows the session with a peer by."""
    return symbol("inner" if peer.inside else _OUTER, peer.name)


def outward(sessions: Iterable[str]) -> frozenset[str]:
    """Return the sessions by which a node's addresses become known outside: those with routers, else those with nodes.

    Where routers were given, an address that only other nodes of the cluster know is not announced.
    """
    names = frozenset(sessions)
    return frozenset(name for name in names if name.startswith(f"{_OUTER}_")) or names
