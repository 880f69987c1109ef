# SPDX-License-Identifier: Apache-2.0
"""Which pool, address and sharing key an object asks for, wherever and in whose words it says so.

Promises: the object prevails over its namespace, the namespace over the cluster, for
each family by itself. What is said in several notations must be the same, or it is a
*no* that names both: nobody guesses which of them was meant. A blank annotation says
nothing. What cannot be read is an objection only where it would have decided.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from buoy.ipam.notation import addresses, full_name, is_nothing, listed, listed_addresses, words
from buoy.ipam.request import Choice, Scope
from buoy.model.address import Address, is_address
from buoy.model.refusal import AllocationReason, Cause

POOL = "buoy.dev/pool"
ADDRESSES = "buoy.dev/addresses"
SHARING_KEY = "buoy.dev/sharing-key"
GLOBAL = "KUBERNETES_PUBLIC_FIP_POOL"
FLOATING_IP = "buoy.dev/floating-ip"
"""Of a pod: a pool, or an address."""
CALICO_FLOATING_IPS = "cni.projectcalico.org/floatingIPs"
LOAD_BALANCER_IP = "spec.loadBalancerIP"

_CONTRAIL = "opencontrail.org/fip-pool"
_METALLB = ("metallb.io/", "metallb.universe.tf/")

T = TypeVar("T")
V = TypeVar("V", bound=str)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Everything by which an object of a kind (``Service``, ``Ingress``, ``Pod``) may say what it wants, as written.

    `public_pool` is the value of ``KUBERNETES_PUBLIC_FIP_POOL``; `address` that of ``spec.loadBalancerIP``.
    """

    kind: str
    namespace: str = ""
    annotations: Mapping[str, str] = {}
    namespace_annotations: Mapping[str, str] = {}
    public_pool: str = ""
    address: str = ""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a `Request` that people write; see there."""

    choices: Mapping[int, Choice] = {}
    wanted: Mapping[int, Address] = {}
    sharing: str = ""
    objections: tuple[Cause, ...] = ()


class _Source(NamedTuple, Generic[T]):
    """A place where something may be said: its name, its text, and how that is read."""

    said: str
    text: str
    read: Callable[[str, str], T | Cause]


class _Named(NamedTuple):
    """Pools that are named; `full` is the name in Contrail's form if it was given so, which is not another name."""

    pools: tuple[str, ...]
    full: str = ""


def wishes(said: Said, families: Iterable[int]) -> Wishes:
    """Return what an object wishes that shall have an address of each of `families`."""
    objections: list[Cause] = []
    choices = {}
    for of_family in families:
        choice = _choice(said, of_family)
        if isinstance(choice, Choice):
            choices[of_family] = choice
        elif choice is not None:
            objections.append(choice)
    wanted = _wanted(said)
    if isinstance(wanted, Cause):
        objections.append(wanted)
        wanted = {}
    sharing = _agreed([(each.said, each.text.strip()) for each in _sharing(said.annotations)])
    if isinstance(sharing, Cause):
        objections.append(sharing)
        sharing = None
    unlike = tuple(each for place, each in enumerate(objections) if each not in objections[:place])
    return Wishes(choices=choices, wanted=wanted, sharing=sharing[1] if sharing else "", objections=unlike)


def _choice(said: Said, of_family: int) -> Choice | Cause | None:
    """Return the pools named for a family in the most special scope that names any."""
    of_namespace = f" of namespace {said.namespace}"
    scopes = (
        (
            Scope.OBJECT,
            [*_own_pools(said.annotations, ""), *_foreign_pools(said.annotations, of_family), *_floating_pools(said)],
        ),
        (Scope.NAMESPACE, list(_own_pools(said.namespace_annotations, of_namespace))),
        (Scope.GLOBAL, [] if is_nothing(said.public_pool) else [_Source(GLOBAL, said.public_pool, _contrail)]),
    )
    for scope, sources in scopes:
        if sources:
            return _of_scope(scope, sources)
    return None


def _of_scope(scope: Scope, sources: Iterable[_Source[_Named]]) -> Choice | Cause | None:
    """Return the choice that all who name pools in a scope agree on."""
    named: list[tuple[str, _Named]] = []
    for source in sources:
        found = source.read(source.said, source.text)
        if isinstance(found, Cause):
            return found
        named.append((source.said, found))
    agreed = _agreed([(said, ", ".join(value.pools)) for said, value in named])
    if not isinstance(agreed, tuple):
        return agreed
    full = next((value.full for _, value in named if value.full), "")
    return Choice(pools=named[0][1].pools, scope=scope, said=agreed[0], full=full)


def _own_pools(annotations: Mapping[str, str], where: str) -> Iterator[_Source[_Named]]:
    yield from _annotation(annotations, POOL, _names(words), where)
    yield from _annotation(annotations, _CONTRAIL, _contrail, where)


def _foreign_pools(annotations: Mapping[str, str], of_family: int) -> Iterator[_Source[_Named]]:
    for prefix in _METALLB:
        yield from _annotation(annotations, f"{prefix}address-pool", _one)
    yield from _annotation(annotations, f"projectcalico.org/ipv{of_family}pools", _names(listed))


def _floating_pools(said: Said) -> Iterator[_Source[_Named]]:
    if said.kind == "Pod" and not _names_addresses(said.annotations.get(FLOATING_IP, "")):
        yield from _annotation(said.annotations, FLOATING_IP, _names(words))


def _names_addresses(text: str) -> bool:
    """Tell whether a text that may name pools or addresses names addresses."""
    return is_address(text.partition(",")[0].strip())


def _contrail(said: str, text: str) -> _Named | Cause:
    full = full_name(said, text)
    return full if isinstance(full, Cause) else _Named((full.split(":")[-1],), full)


def _names(read: Callable[[str, str], tuple[str, ...] | Cause]) -> Callable[[str, str], _Named | Cause]:
    def as_named(said: str, text: str) -> _Named | Cause:
        found = read(said, text)
        return found if isinstance(found, Cause) else _Named(found)

    return as_named


def _one(_said: str, text: str) -> _Named | Cause:
    return _Named((text.strip(),))


def _sharing(annotations: Mapping[str, str]) -> Iterator[_Source[_Named]]:
    for key in (SHARING_KEY, *(f"{prefix}allow-shared-ip" for prefix in _METALLB)):
        yield from _annotation(annotations, key, _one)


def _wanted(said: Said) -> Mapping[int, Address] | Cause:
    found: dict[int, tuple[str, Address]] = {}
    for source in _wanting(said):
        value = source.read(source.said, source.text)
        if isinstance(value, Cause):
            return value
        for of_family, address in value.items():
            before = found.setdefault(of_family, (source.said, address))
            agreed = _agreed([before, (source.said, address)])
            if isinstance(agreed, Cause):
                return agreed
    return {of_family: address for of_family, (_, address) in found.items()}


def _wanting(said: Said) -> Iterator[_Source[Mapping[int, Address]]]:
    annotations = said.annotations
    yield from _annotation(annotations, ADDRESSES, addresses)
    if said.address.strip():
        yield _Source(LOAD_BALANCER_IP, said.address, addresses)
    for prefix in _METALLB:
        yield from _annotation(annotations, f"{prefix}loadBalancerIPs", addresses)
    yield from _annotation(annotations, "projectcalico.org/loadBalancerIPs", listed_addresses)
    if said.kind == "Ingress":
        # Contrail's, without a prefix; a Service's means nothing.
        yield from _annotation(annotations, "externalIP", addresses)
    if said.kind == "Pod":
        yield from _annotation(annotations, CALICO_FLOATING_IPS, listed_addresses)
        if _names_addresses(annotations.get(FLOATING_IP, "")):
            yield from _annotation(annotations, FLOATING_IP, addresses)


def _annotation(
    annotations: Mapping[str, str], key: str, read: Callable[[str, str], T | Cause], where: str = ""
) -> Iterator[_Source[T]]:
    text = annotations.get(key, "")
    if text.strip():
        yield _Source(f"annotation {key}{where}", text, read)


def _agreed(values: Sequence[tuple[str, V]]) -> tuple[str, V] | Cause | None:
    """Return the first of what several sources say, a cause if another one differs, None if there is no source."""
    for said, value in values:
        first, agreed = values[0]
        if value != agreed:
            details = {"said": first, "value": str(agreed), "other": said, "rival": str(value)}
            return Cause(AllocationReason.CONTRADICTION, details)
    return values[0] if values else None
