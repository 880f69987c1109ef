# SPDX-License-Identifier: Apache-2.0
"""By which names BIRD knows peers, nodes and filters, and what such a name tells of a session.

Promises that distinct things have distinct names, and that a name depends on the thing's own alone: to BIRD
another name is another session, and all that was told over the one before is withdrawn.
"""

import hashlib
import re
from collections.abc import Collection, Iterable

_PLAIN = re.compile(r"[A-Za-z0-9]+([-.][A-Za-z0-9]+)*")
_SYMBOL = 40


def symbol(kind: str, name: str) -> str:
    """Return the name BIRD knows a peer, node or filter by: distinct for distinct names, and needing no quotes."""
    if _PLAIN.fullmatch(name) and len(name) <= _SYMBOL:
        return f"{kind}_{name.replace('.', '__').replace('-', '_')}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{kind}_{re.sub('[^A-Za-z0-9]', '_', name)[: _SYMBOL // 2]}___{digest}"


def outward(sessions: Iterable[str], inside: Collection[str] = ()) -> frozenset[str]:
    """Return the sessions by which a node's addresses become known outside: those with routers, else those with nodes.

    Of the sessions with peers those `inside` are with nodes, too. Where routers were given, an address that only
    other nodes of the cluster know is not announced.
    """
    names = frozenset(sessions)
    return frozenset(name for name in names if name.startswith("peer_") and name not in inside) or names
