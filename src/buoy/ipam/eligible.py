# SPDX-License-Identifier: Apache-2.0
"""Which pools are considered for an object, and what keeps it from drawing from one.

Promises that every pool considered is either open to the object or has a cause. A
pool that is named is considered alone: one that is missing is a *no*, and never
makes another pool step in. Quotas count what the same decision has given already.
"""

from collections.abc import Iterable, Mapping, Sequence

from buoy.ipam.ledger import Ledger, rank
from buoy.ipam.request import Choice, Given, Request
from buoy.model.address import Address
from buoy.model.pool import Expression, Operator, Pool, Selector
from buoy.model.refusal import AllocationReason, Cause


def considered(request: Request, of_family: int, ledger: Ledger) -> tuple[Pool | Cause, ...]:
    """Return the pools an object may draw from, in the order to be tried, and in its place a cause for each other."""
    choice = request.choices.get(of_family)
    if choice is None:
        found: Sequence[Pool | Cause] = (*sorted(ledger.pools.values(), key=rank),) or (
            Cause(AllocationReason.NO_POOL),
        )
    else:
        found = named(choice, ledger.pools)
    by_name = choice is not None
    return tuple(
        item if isinstance(item, Cause) else barrier(item, request, of_family, by_name=by_name) or item
        for item in found
    )


def named(choice: Choice, pools: Mapping[str, Pool]) -> tuple[Pool | Cause, ...]:
    """Return for each name of a choice its pool, or why there is none.

    A name in Contrail's form is that of the pool which has it among its aliases, else of the pool with its last part
    as a name. Its domain and network are not compared then; its project, ``CLUSTER-NAMESPACE``, is if the pool lists
    its namespaces: one that is for none of the project's is another pool of that name.
    """
    return tuple(_named(name, choice, pools) for name in choice.pools)


def meant(choice: Choice, pools: Mapping[str, Pool]) -> tuple[Pool, ...]:
    """Return the pools a choice names."""
    return tuple(item for item in named(choice, pools) if isinstance(item, Pool))


def _named(name: str, choice: Choice, pools: Mapping[str, Pool]) -> Pool | Cause:
    full = choice.full
    pool = (_known_as(full, pools) if full else None) or pools.get(name) or _known_as(name, pools)
    details = {"pool": name, "said": choice.said}
    if pool is None:
        return Cause(AllocationReason.POOL_MISSING, details)
    if not full or full in pool.aliases or _is_of_project(pool, full):
        return pool
    more = {"full": full, "project": full.split(":")[1], "namespaces": ", ".join(pool.namespaces)}
    return Cause(AllocationReason.POOL_OF_OTHER_PROJECT, details | more)


def barrier(pool: Pool, request: Request, of_family: int, *, by_name: bool) -> Cause | None:
    """Return what keeps an object from drawing a new address of a pool, apart from what others have of it."""
    reason = _barrier(pool, request, of_family, by_name=by_name)
    if reason is None:
        return None
    owner = request.owner
    details = {"pool": pool.name, "namespace": owner.namespace, "owner": str(owner.identity), "family": str(of_family)}
    return Cause(reason, details)


def _barrier(pool: Pool, request: Request, of_family: int, *, by_name: bool) -> AllocationReason | None:
    if not _has_family(pool, of_family):
        return AllocationReason.FAMILY_MISSING
    if not _is_for_namespace(pool, request.owner.namespace, request.namespace_labels):
        return AllocationReason.NOT_FOR_NAMESPACE
    if pool.services and not any(matches(selector, request.labels) for selector in pool.services):
        return AllocationReason.NOT_FOR_OBJECT
    if not by_name and not pool.automatic:
        return AllocationReason.ONLY_BY_NAME
    return AllocationReason.POOL_DRAINING if pool.draining else None


def over_quota(
    pool: Pool, request: Request, ledger: Ledger, given: Sequence[Given], at: Address | None
) -> Cause | None:
    """Return why the namespace's quota of a pool forbids one more address, None if it does not.

    `given` is what this decision gives already; `at` the address in question, None for a fresh one. One that the
    namespace has, since another of its objects shares it, costs nothing.
    """
    owner = request.owner
    if pool.quota is None or (at is not None and _has(ledger, at, request, pool)):
        return None
    count = ledger.holdings.count(pool.name, owner)
    count += sum(each.pool == pool.name and not _has(ledger, each.address, request, pool) for each in given)
    if count < pool.quota:
        return None
    details = {"pool": pool.name, "namespace": owner.namespace, "count": str(count), "quota": str(pool.quota)}
    return Cause(AllocationReason.QUOTA_REACHED, details)


def is_of(ledger: Ledger, given: Given, choice: Choice) -> bool:
    """Tell whether an address that an object has is of a pool that a choice names."""
    pools = meant(choice, ledger.pools)
    return any(given.pool == pool.name for pool in pools) or any(
        pool in pools for pool in ledger.pools_with(given.address)
    )


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector matches, as Kubernetes defines it: an absent label is in no set of values."""
    return all(labels.get(key) == value for key, value in selector.labels.items()) and all(
        _holds(expression, labels) for expression in selector.expressions
    )


def _holds(expression: Expression, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.key)
    match expression.operator:
        case Operator.IN:
            return value in expression.values
        case Operator.NOT_IN:
            return value not in expression.values
        case Operator.EXISTS:
            return value is not None
        case _:
            return value is None


def _has_family(pool: Pool, of_family: int) -> bool:
    sign = ":" if of_family == 6 else "."
    texts: Iterable[str] = (*pool.prefixes, *(item.first for item in pool.ranges))
    return any(sign in text for text in texts)


def _is_for_namespace(pool: Pool, namespace: str, labels: Mapping[str, str]) -> bool:
    if not pool.namespaces and not pool.namespace_selectors:
        return True
    return namespace in pool.namespaces or any(matches(selector, labels) for selector in pool.namespace_selectors)


def _known_as(name: str, pools: Mapping[str, Pool]) -> Pool | None:
    # Calico also names a pool by its prefix.
    found = (pool for pool in pools.values() if name in pool.aliases or name in pool.prefixes)
    return min(found, key=rank, default=None)


def _is_of_project(pool: Pool, full: str) -> bool:
    project = full.split(":")[1]
    if not pool.namespaces or pool.namespace_selectors:
        return True
    return any(project == namespace or project.endswith(f"-{namespace}") for namespace in pool.namespaces)


def _has(ledger: Ledger, at: Address, request: Request, pool: Pool) -> bool:
    """Tell whether the namespace has an address of a pool."""
    owner, claim = request.owner, ledger.claim(at)
    return (
        claim is not None
        and claim.released is None
        and claim.pool == pool.name
        and any((other.cluster, other.namespace) == (owner.cluster, owner.namespace) for other in claim.owners)
    )
