# SPDX-License-Identifier: Apache-2.0
"""Roles in etcd: which keys an account may read and write, so that one node's agent cannot speak for another.

Promises nothing of a connection: what is said here is data, and `accounts.py` makes it
so. An agent reads everything under the prefix and writes only its own status and
heartbeat; a writer (Neutron, an operator) writes everything under it; a reader nothing.
"""

import enum

import msgspec

from buoy.model import validate
from buoy.model.errors import InvalidInput
from buoy.model.node import Node
from buoy.store.etcd_listing import range_end

_AGENT = "buoy-agent-"


class Kind(enum.StrEnum):
    """Who an account is for."""

    AGENT = "agent"
    WRITER = "writer"
    READER = "reader"


class Right(msgspec.Struct, frozen=True, order=True):
    """``read`` or ``readwrite`` of the keys from `key` to before `end`; with `end` empty, of that one key."""

    key: str
    end: str
    access: str

    @property
    def keys(self) -> str:
        """The keys as a person writes them: a tree ends in ``*``."""
        return f"{self.key}*" if self.end else self.key


class Role(msgspec.Struct, frozen=True):
    """A role by its name in etcd, with all of its rights, sorted."""

    name: str
    rights: tuple[Right, ...]


def role(kind: Kind, name: str, prefix: str) -> Role:
    """Return the role of an account; `name` is an agent's node. Raises `InvalidInput` for what can be no name."""
    try:
        validate.check("", Node(name=name))
    except InvalidInput as error:
        raise InvalidInput("NAME", name, error.remedy) from error
    return _role(kind, name, prefix)


def intended(name: str, prefix: str) -> Role | None:
    """Return what the role of that name should be, None if it is not Buoy's."""
    found = kind_of(name)
    return _role(*found, prefix) if found else None


def _role(kind: Kind, node: str, prefix: str) -> Role:
    match kind:
        case Kind.AGENT:
            own = (_tree(prefix, "read"), _one(f"{prefix}nodes/{node}"), _tree(f"{prefix}status/{node}/", "readwrite"))
            return Role(agent_name(node), tuple(sorted(own)))
        case Kind.WRITER:
            return Role("buoy-writer", (_tree(prefix, "readwrite"),))
        case Kind.READER:
            return Role("buoy-reader", (_tree(prefix, "read"),))


def agent_name(node: str) -> str:
    """Return the name of a node's role and, unless it is told otherwise, of its account."""
    return f"{_AGENT}{node}"


def kind_of(name: str) -> tuple[Kind, str] | None:
    """Return whose a role is by its name, with an agent's node; None if it is not Buoy's."""
    if name.startswith(_AGENT):
        return Kind.AGENT, name.removeprefix(_AGENT)
    return next(((kind, "") for kind in (Kind.WRITER, Kind.READER) if name == f"buoy-{kind}"), None)


def _tree(key: str, access: str) -> Right:
    return Right(key, range_end(key.encode()).decode(), access)


def _one(key: str) -> Right:
    return Right(key, "", "readwrite")
