# SPDX-License-Identifier: Apache-2.0
"""Options that commands about peers and BGP share, and how given ones become fields of a document.

An option that is not given is None and leaves its field as it is; "" and 0 clear a field that may be empty.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from buoy.model.address import parse_address, parse_prefix
from buoy.model.errors import InvalidInput
from buoy.model.peer import Bfd, NextHop, Tagged

Asn = Annotated[int | None, typer.Option("--asn", help="AS number, 1 to 4294967295.")]
HoldTime = Annotated[int | None, typer.Option(help="Seconds of silence that end a session; 0 for never.")]
Password = Annotated[str | None, typer.Option(help="TCP MD5 password (RFC 2385); others may see it in `ps`.")]
PasswordFile = Annotated[str | None, typer.Option(metavar="FILE", help="Read the password from FILE, `-` for stdin.")]
PasswordFrom = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The password is in this file beneath each agent's `passwords`; '': no more."),
]
BfdSwitch = Annotated[bool | None, typer.Option("--bfd/--no-bfd", help="Notice a silent loss by BFD (RFC 5880).")]
BfdInterval = Annotated[int | None, typer.Option(metavar="MS", help="BFD: one packet every MS milliseconds.")]
BfdMultiplier = Annotated[int | None, typer.Option(metavar="N", help="BFD: N missing packets are a loss.")]
BfdGraceful = Annotated[
    bool | None,
    typer.Option("--bfd-graceful/--no-bfd-graceful", help="BFD: keep routes as after a restart; a dead node's too."),
]
RestartTime = Annotated[
    int | None,
    typer.Option(
        "--graceful-restart-time", metavar="S", help="Ask to keep our routes S seconds without a session (30)."
    ),
]
Reveal = Annotated[bool, typer.Option("--show-password", help="Print the password instead of (hidden).")]
Graceful = Annotated[bool | None, typer.Option("--graceful-restart/--no-graceful-restart", help="RFC 4724 (on).")]
TtlSecurity = Annotated[
    bool | None, typer.Option("--ttl-security/--no-ttl-security", help="Ignore who is farther away (RFC 5082).")
]
AllowLocalAs = Annotated[
    int | None, typer.Option("--allow-local-as", metavar="N", help="Take paths with our own AS N times in them.")
]
NextHopRule = Annotated[
    NextHop | None, typer.Option(help="Told for routes that are passed on: by BGP's rule, this node, or as heard.")
]
Source = Annotated[str | None, typer.Option(help="Our address; default: the one nearest to the neighbour's.")]
Reflector = Annotated[
    bool | None, typer.Option("--reflector-client/--no-reflector-client", help="Reflect routes to it (RFC 4456).")
]
Inside = Annotated[
    bool | None, typer.Option("--inside/--outside", help="It is a node of the cluster: telling it tells no router.")
]

_CLEARABLE = frozenset({"local_asn", "keepalive", "multihop", "source", "cluster_id"})
_ADDRESSES = frozenset({"address", "source", "cluster_id"})
_PREFIXES = frozenset({"internal_prefixes", "originate"})


def fields(given: Mapping[str, Any], struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields of `struct` among the given options, in canonical form; raise `InvalidInput`."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or name not in struct.__struct_fields__ or name in ("bfd", "password"):
            continue
        if name in _CLEARABLE and not value:
            found[name] = None
        elif name in _ADDRESSES:
            found[name] = parse_address(value, f"--{name.replace('_', '-')}")
        elif name == "communities":
            found[name] = tuple(_tagged(each) for each in value if each)
        elif name in _PREFIXES:
            found[name] = tuple(parse_prefix(each, f"--{name.replace('_', '-')}") for each in value if each)
        elif isinstance(value, list):
            found[name] = tuple(each for each in value if each)
        else:
            found[name] = value
    return found


def _tagged(text: str) -> Tagged:
    """Return what ``PREFIX=COMMUNITY,...`` says; whether they are communities is checked with the document."""
    prefix, _, communities = text.partition("=")
    named = tuple(each for each in communities.split(",") if each)
    if not named:
        raise InvalidInput("--community", text, "give PREFIX=aa:nn, or several: PREFIX=aa:nn,aa:nn:mm")
    return Tagged(prefix=parse_prefix(prefix, "--community"), communities=named)


def bfd(given: Mapping[str, Any], before: Bfd | None) -> Bfd | None:
    """Return BFD as the options change it; an interval or multiplier alone switches it on."""
    options = {name: given[f"bfd_{name}"] for name in Bfd.__struct_fields__}
    changes = {name: value for name, value in options.items() if value is not None}
    if given["bfd"] is False:
        if changes:
            raise InvalidInput("--no-bfd", f"with {', '.join(changes)}", "give one or the other")
        return None
    if given["bfd"] is None and not changes:
        return before
    return msgspec.structs.replace(before or Bfd(), **changes)


def password(given: Mapping[str, Any], before: str) -> str:
    """Return the password as the options change it; "" for none."""
    text, file = given["password"], given["password_file"]
    if file is None:
        return before if text is None else str(text)
    if text is not None:
        raise InvalidInput("--password", "with --password-file", "give one of the two")
    try:
        read = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("--password-file", file, f"name a readable text file ({error})") from error
    return read.rstrip("\n")
