# SPDX-License-Identifier: Apache-2.0
"""What one object asks for, and what it is given; the words of allocation.

Promises nothing; frozen data. The tricky field is `Request.shown`: an object that
its users already reach under an address keeps it, whatever else is refused to it,
and one whose claim was lost has it back if nobody else has it.
"""

import enum
from collections.abc import Mapping

import msgspec

from buoy.model.address import Address
from buoy.model.proxied import ProxyPort
from buoy.model.refusal import Cause
from buoy.model.service_ip import Owner


class Scope(enum.StrEnum):
    """Where a pool is named; the more special one prevails."""

    OBJECT = "object"
    NAMESPACE = "namespace"
    GLOBAL = "global"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Pools that are named, in the order to be tried; `said` tells by what, such as ``annotation buoy.dev/pool``.

    `full` is the name in Contrail's form where one was given: ``domain:project:network:name``.
    """

    pools: tuple[str, ...]
    scope: Scope
    said: str
    full: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What an object shall have.

    One address of each of `families` (4, 6; in the order its status shows them): the one in `wanted`, or one of the
    pools in `choices`, or, if none is named for the family, of any automatic pool. With `require_all` all or none.
    `externals` are addresses it names itself (`spec.externalIPs`): each that lies in a pool is claimed for it.
    An object that shall have nothing any more has neither families nor externals.
    """

    owner: Owner
    families: tuple[int, ...] = (4,)
    require_all: bool = False
    wanted: Mapping[int, Address] = {}
    externals: tuple[Address, ...] = ()
    choices: Mapping[int, Choice] = {}
    sharing: str = ""
    """The key by which it shares its addresses; empty: it shares none."""
    ports: tuple[ProxyPort, ...] = ()
    backends: str = ""
    """See `backends`."""
    labels: Mapping[str, str] = {}
    namespace_labels: Mapping[str, str] = {}
    shown: tuple[Address, ...] = ()
    """What its status shows now and is ours."""
    objections: tuple[Cause, ...] = ()
    """What of its wishes cannot be understood: it keeps what it has, and is given nothing else."""


class Way(enum.StrEnum):
    """How an address comes to an object."""

    KEPT = "kept"
    """It has it."""
    ADOPTED = "adopted"
    """Its status shows it, and nobody claims it."""
    RECLAIMED = "reclaimed"
    """It had it before, in an earlier life perhaps."""
    SHARED = "shared"
    """Others who use the same key have it."""
    FRESH = "fresh"


class Given(msgspec.Struct, frozen=True):
    """An address, the pool it comes from, and how."""

    address: Address
    pool: str
    way: Way


class Allocation(msgspec.Struct, frozen=True):
    """What an object is to have: `addresses` in the order of its families, and those of its `externals` that are ours.

    `lacking` says what of the request is not fulfilled, empty if all is; `surplus` are addresses it has and is to
    release, once it has the others.
    """

    addresses: tuple[Given, ...] = ()
    externals: tuple[Given, ...] = ()
    lacking: tuple[Cause, ...] = ()
    surplus: tuple[Address, ...] = ()


def backends(owner: Owner, selector: Mapping[str, str], *, local: bool) -> str:
    """Return which pods a Service leads to, as far as sharing an address depends on it.

    Empty with traffic policy Cluster, for then every node forwards to all. With Local it is the selector within its
    namespace; a Service without selector shares with nobody, for nothing tells that its pods are another's too.
    """
    if not local:
        return ""
    if not selector:
        return f"{owner.kind} {owner.namespace}/{owner.name}"
    return f"{owner.namespace}: " + ",".join(f"{key}={value}" for key, value in sorted(selector.items()))


def port_texts(ports: tuple[ProxyPort, ...]) -> tuple[str, ...]:
    """Return ports as an owner in a claim has them: ``tcp/443``, sorted."""
    return tuple(sorted(f"{protocol}/{port}" for protocol, port in ports))
