# SPDX-License-Identifier: Apache-2.0
"""MetalLB's IPAddressPool as a pool of Buoy.

Promises the same addresses for the same Services. The tricky thing is the priority:
MetalLB asks the lowest number first and 0 last, Buoy the highest first; and all pools
that are for somebody come before those for everybody.

Source: https://metallb.io/apis/, metallb api/v1beta1/ipaddresspool_types.go and internal/allocator.
"""

import ipaddress

from buoy.kubernetes.foreign import IPAddressPool, LabelSelector, ServiceAllocation
from buoy.kubernetes.reading import read_prefix
from buoy.model.address import family, parse_address
from buoy.model.errors import InvalidInput
from buoy.model.pool import Expression, Operator, Pool, Range, Selector

_FIRST = 1_000_000
"""Priority of a pool that MetalLB would ask at once; far above those that people write."""
_PINNED, _FOR_ALL = 1, 0
"""Priorities of a pool without one that is for some Services, or for all."""


def translate_pool(found: IPAddressPool) -> Pool:
    """Return the pool; raise `InvalidInput` for an address or a selector that cannot be read."""
    prefixes, ranges = [], []
    for index, text in enumerate(found.spec.addresses or ()):
        field = f"spec.addresses[{index}]"
        if "-" in text:
            ranges.append(_range(text, field))
        else:
            prefixes.append(read_prefix(text, field))
    allocation = found.spec.service_allocation or ServiceAllocation()
    is_pinned = found.spec.service_allocation is not None
    is_for_some = bool(allocation.namespaces or allocation.namespace_selectors or allocation.service_selectors)
    return Pool(
        name=found.metadata.name,
        prefixes=tuple(prefixes),
        ranges=tuple(ranges),
        # one that is for some Services and names none is drawn from by those alone that name it
        automatic=found.spec.auto_assign is not False and is_for_some == is_pinned,
        avoid_end_addresses=found.spec.avoid_buggy_ips,
        namespaces=allocation.namespaces or (),
        namespace_selectors=tuple(selector(each) for each in allocation.namespace_selectors or ()),
        services=tuple(selector(each) for each in allocation.service_selectors or ()),
        priority=_FIRST - allocation.priority if allocation.priority > 0 else _PINNED if is_pinned else _FOR_ALL,
        share_across_namespaces=True,
    )


def selector(found: LabelSelector) -> Selector:
    """Return a label selector; raise `InvalidInput` for an operator that Kubernetes does not have."""
    expressions = []
    for each in found.match_expressions or ():
        try:
            operator = Operator(each.operator)
        except ValueError:
            known = ", ".join(Operator)
            raise InvalidInput("matchExpressions.operator", each.operator, f"give one of {known}") from None
        expressions.append(Expression(key=each.key, operator=operator, values=each.values or ()))
    return Selector(labels=found.match_labels or {}, expressions=tuple(expressions))


def _range(text: str, field: str) -> Range:
    first, _, last = (part.strip() for part in text.partition("-"))
    found = Range(first=parse_address(first, field), last=parse_address(last, field))
    if family(found.first) != family(found.last):
        raise InvalidInput(field, text, "give two addresses of one family")
    if int(ipaddress.ip_address(found.first)) > int(ipaddress.ip_address(found.last)):
        raise InvalidInput(field, text, "give the lower address first")
    return found
