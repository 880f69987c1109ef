# SPDX-License-Identifier: Apache-2.0
"""`bird.conf` of one node, sorted and stable: it changes only with peers, filters, settings and nodes.

Service IPs never appear here: BIRD learns them from kernel table 2053. The tricky
parts were each measured on BIRD 2.0.12: preference 200 for what is learned (at 10,
two announcers of one address suppress each other and flap), `persist` (else the
node's own remote routes vanish in a restart), a large netlink buffer (else bursts
wait for the next scan), `direct` for iBGP next hops, which are not exported.
"""

import json
import re
from collections.abc import Mapping

from buoy.model.address import Address, family, split
from buoy.model.community import parse_community
from buoy.model.errors import InvalidInput
from buoy.model.nodestate import Class
from buoy.model.ownership import ANNOUNCE_TABLE, ROUTE_PROTOCOL
from buoy.planner.peering import Speaking
from buoy.planner.peering_sessions import LocalNode
from buoy.render.bird_sessions import EXPORT_NONE, filter_function, session_block

OWN_PROTOCOLS = ("announce4", "announce6")
"""BIRD's names for the protocols that learn our announcements, by which a route is known as this node's own."""

KERNEL_METRIC = 48
"""Metric of remote routes in table main; a local device route has 16 and wins.

By it BIRD knows its own routes, and removes those it did not make: with BIRD's default of 32,
ours and another BIRD of the same host would each remove what the other made.
"""

_NODES = "# nodes "
_PATTERN = re.compile(r"-?[A-Za-z0-9_.@:*?-]+")
_SESSION = re.compile(r"^protocol bgp (\w+) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_RX_BUFFER = 33554432


def bird_conf(speaking: Speaking, node: LocalNode) -> str:
    """Return the whole configuration; raise `InvalidInput` for an uplink pattern or log that BIRD cannot hold."""
    blocks = [
        _head(speaking, node),
        _kernel(node),
        _exports(speaking),
        *(filter_function(each) for each in speaking.filters),
        *(["protocol bfd buoy_bfd {\n}\n"] if any(session.bfd for session in speaking.sessions) else []),
        *(session_block(session, speaking) for session in speaking.sessions),
    ]
    return "\n".join(blocks)


def remembered(text: str) -> dict[str, tuple[Address, ...]]:
    """Return the nodes a configuration was written for: what an agent without memory still knows of others."""
    for line in text.splitlines():
        if line.startswith(_NODES):
            return {name: tuple(Address(each) for each in at) for name, at in json.loads(line[len(_NODES) :]).items()}
    return {}


def telling(text: str) -> tuple[str, ...]:
    """Return the names of the sessions in a configuration over which something may be told, in its order."""
    return tuple(name for name, block in _SESSION.findall(text) if f"\t{EXPORT_NONE};" not in block)


def _head(speaking: Speaking, node: LocalNode) -> str:
    if '"' in node.log or "\n" in node.log:
        raise InvalidInput("log", node.log, "give a path without quotes and line breaks")
    target = f'"{node.log}"' if node.log else "stderr"
    return f"""# Written by buoy agent: what is changed here by hand is lost. See `buoy peer --help`.
{_NODES}{_nodes(speaking.known)}
log {target} {{ info, remote, warning, error, auth, fatal, bug }};
router id {speaking.router_id};
timeformat protocol iso long;
timeformat route iso long;
graceful restart wait 10;
"""


def _nodes(known: Mapping[str, tuple[Address, ...]]) -> str:
    return json.dumps({name: list(addresses) for name, addresses in known.items()}, sort_keys=True)


def _kernel(node: LocalNode) -> str:
    for pattern in node.uplinks:
        if not _PATTERN.fullmatch(pattern):
            raise InvalidInput("uplinks", pattern, 'give interface patterns as BIRD has them, such as "eth*"')
    uplinks = ", ".join(f'"{pattern}"' for pattern in node.uplinks)
    families = "\n".join(_kernel_family(version) for version in (4, 6))
    return f"""protocol device devices {{
\tscan time 10;
}}

protocol direct uplinks {{
\tipv4;
\tipv6;
\tinterface {uplinks};
}}

{families}"""


def _kernel_family(version: int) -> str:
    return f"""ipv{version} table announced{version};

protocol kernel announce{version} {{
\tkernel table {ANNOUNCE_TABLE};
\tlearn;
\tscan time 10;
\tnetlink rx buffer {_RX_BUFFER};
\tipv{version} {{
\t\ttable announced{version};
\t\timport filter {{
\t\t\tif krt_source != {ROUTE_PROTOCOL} then reject;
\t\t\tpreference = 200;
\t\t\taccept;
\t\t}};
\t\texport none;
\t}};
}}

protocol pipe announced{version}_to_master{version} {{
\ttable announced{version};
\tpeer table master{version};
\texport all;
\timport none;
}}

protocol kernel main{version} {{
\tpersist;
\tmetric {KERNEL_METRIC};
\tmerge paths on;
\tgraceful restart on;
\tscan time 10;
\tnetlink rx buffer {_RX_BUFFER};
\tipv{version} {{
\t\timport none;
\t\texport where source = RTS_BGP;
\t}};
}}
"""


def _exports(speaking: Speaking) -> str:
    """Return what every session's export filter ends in; own AS numbers in an iBGP path would be a loop there.

    A takeover must win outside the AS too, where no local preference arrives and paths are equally long: the origin
    is compared next, whatever AS a route comes from, and is passed on (RFC 4271, 9.1.2.2). So all else is
    INCOMPLETE, as routes redistributed from a kernel are elsewhere, and a takeover alone is IGP.
    """
    own = " && ".join(f'proto != "{name}"' for name in OWN_PROTOCOLS)
    passed = "\tif defined(buoy_inner) then return true;\n" if speaking.reflects else ""
    declared = "attribute int buoy_inner;\n\n" if speaking.reflects else ""
    tagged = _tagged(speaking)
    drain = f"\tif krt_metric = {Class.DRAIN.value} then bgp_community.add((65535, 0));\n"
    takeover = f"krt_metric = {Class.TAKEOVER.value}"
    origin = f"\tif {takeover} then bgp_origin = ORIGIN_IGP; else bgp_origin = ORIGIN_INCOMPLETE;\n"
    return f"""{declared}function buoy_export_internal() {{
{passed}\tif {own} then return false;
{tagged}{origin}\tif {takeover} then bgp_local_pref = 200;
{drain}\tif krt_metric = {Class.DRAIN.value} then bgp_local_pref = 0;
\tif krt_metric = {Class.STANDBY.value} then bgp_local_pref = 50;
\treturn true;
}}

function buoy_export_external(int own_asn) {{
{passed}\tif {own} then return false;
{tagged}{origin}{drain}\tif krt_metric = {Class.STANDBY.value} then {{
\t\tbgp_path.prepend(own_asn);
\t\tbgp_path.prepend(own_asn);
\t\tbgp_path.prepend(own_asn);
\t}}
\treturn true;
}}
"""


def _tagged(speaking: Speaking) -> str:
    """Return the steps that add communities by prefix; what lies in several prefixes gets those of all."""
    steps = ""
    for tagged in speaking.tagged:
        length, host = split(tagged.prefix)[1], 128 if family(tagged.prefix) == 6 else 32
        for community in tagged.communities:
            parts = parse_community(community, "communities")
            attribute = "bgp_community" if len(parts) == 2 else "bgp_large_community"
            pair = ", ".join(map(str, parts))
            steps += f"\tif net ~ [ {tagged.prefix}{{{length},{host}}} ] then {attribute}.add(({pair}));\n"
    return steps
