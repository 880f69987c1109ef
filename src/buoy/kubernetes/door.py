# SPDX-License-Identifier: Apache-2.0
"""The door of an API server: pools that overlap something are refused by the server itself, with no webhook.

Promises the rule of `ipam/overlap.py`, for addresses that an object did not give before:
who drains a pool that a new node has come into must not be kept from it.
``python -m buoy.kubernetes.door packaging/kubernetes/door.yaml`` writes the policies, and a test compares.

The tricky thing is what happens where they cannot say: their `failurePolicy` is Ignore,
for a kind that is not installed, or an object too large for CEL's budget, must not keep
anybody from writing a pool. The controller sees every overlap in any case.

Source: kubernetes.io, "Validating Admission Policy".
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from buoy.kubernetes.door_expressions import Spec, bound, covers, entry, intervals, ordered, readable, sorting, usable
from buoy.kubernetes.resources import ADDRESS_POOLS, KINDS, NAMESPACE
from buoy.store.api_names import Resource

_HEAD = (
    "# SPDX-License-Identifier: Apache-2.0\n# Written by python -m buoy.kubernetes.door: change that instead.\n"
    "# Pools that overlap something are refused (docs/adr/0011).\n"
)
_API = "admissionregistration.k8s.io/v1"
_EACH: dict[str, Any] = {"selector": {}, "parameterNotFoundAction": "Allow"}
_POOLS = next(kind.resource for kind in KINDS if kind.kind == "Pool")
_CLAIMS = next(kind.resource for kind in KINDS if kind.kind == "ServiceIP")
_CLAIMS_POLICY, _RANGES_POLICY = "serviceips.buoy.dev", "ranges.pools.buoy.dev"
_CONTROLLER = f"system:serviceaccount:{NAMESPACE}:buoy-controller"

NEW, NEW_BUT, OLD, OLD_BUT = "new", "new but", "old", "old but"
OTHER, OTHER_BUT = "other", "other but"
"""Kinds of entries: what an object gives and leaves out, gave and left out before, and what there is besides."""

_NEW, _OLD, _OTHER = Spec("object.?spec"), Spec("oldObject.?spec"), Spec("params.?spec")


class Besides(NamedTuple):
    """What a pool must not overlap: objects of one kind."""

    name: str
    api: str
    kind: str
    entries: str
    namespaces: tuple[str, ...] = ()
    """Where they are looked for, if they stand in namespaces."""
    left_out: str = "[]"
    avoids: str = "false"
    is_itself: str = "false"


_OF_POOL = " + ' of pool ' + params.metadata.name"
_CHANGES = {
    "name": "spec-changes",
    "expression": "request.operation == 'CREATE' || object.?spec != oldObject.?spec",
}
_SAME_NAME = "params.metadata.name == object.metadata.name"
_NODE_ADDRESS = (
    "params.?status.?addresses.orValue([]).filter(a, a.type == 'InternalIP' && isIP(a.address)).map(a, "
    + entry(
        OTHER,
        "a.address",
        "a.address",
        "string(ip(a.address)) + (a.address.contains(':') ? '/128' : '/32')"
        " + ', an address of node ' + params.metadata.name",
    )
    + ")"
)
_POD_CIDRS = "params.?spec.?podCIDRs.orValue([])"
_NODE_PODS = (
    f"({_POD_CIDRS}.size() > 0 ? {_POD_CIDRS} : [params.?spec.?podCIDR.orValue('')]).filter(t, isCIDR(t)).map(t, "
    + entry(OTHER, "t", "t", "string(cidr(t).masked()) + ', for pods of node ' + params.metadata.name")
    + ")"
)
_SERVICES = "params.?spec.?cidrs.orValue([]).map(t, " + entry(OTHER, "t", "t", "t + ', for cluster IPs'") + ")"
_GIVEN, _LEFT_OUT = _OTHER.given(OTHER, _OF_POOL), _OTHER.left_out(OTHER_BUT)

BESIDES = (
    Besides("pools", "buoy.dev/v1", "Pool", _GIVEN, left_out=_LEFT_OUT, avoids=_OTHER.avoids, is_itself=_SAME_NAME),
    Besides(
        "ipaddresspools",
        "metallb.io/v1beta1",
        "IPAddressPool",
        _GIVEN,
        namespaces=("metallb-system", "buoy-system", "default"),
        left_out=_LEFT_OUT,
        avoids=_OTHER.avoids,
        is_itself=_SAME_NAME,
    ),
    Besides("nodes", "v1", "Node", f"{_NODE_ADDRESS} + {_NODE_PODS}"),
    Besides("servicecidrs", "networking.k8s.io/v1", "ServiceCIDR", _SERVICES),
)
"""Everything that a pool must not overlap."""


def policies() -> list[dict[str, Any]]:
    """Return the objects that are to be applied."""
    compared = [made for besides in BESIDES for made in (_compared(besides), *_bindings(besides))]
    claims = _policy(_CLAIMS_POLICY, (_CLAIMS,), ("buoy.dev/v1", "Pool"), _claims())
    ordered = _policy(_RANGES_POLICY, (_POOLS,), None, _ranges())
    return [*compared, claims, _binding(_CLAIMS_POLICY, _EACH), ordered, _binding(_RANGES_POLICY, None)]


def _policy(
    name: str, resources: tuple[Resource, ...], params: tuple[str, str] | None, said: dict[str, Any]
) -> dict[str, Any]:
    kind = {"paramKind": {"apiVersion": params[0], "kind": params[1]}} if params else {}
    rules = [_rule(resource) for resource in resources]
    return {
        "apiVersion": _API,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"failurePolicy": "Ignore", **kind, "matchConstraints": {"resourceRules": rules}, **said},
    }


def _compared(besides: Besides) -> dict[str, Any]:
    said = {
        "matchConditions": [_CHANGES],
        "variables": [{"name": name, "expression": text} for name, text in _variables(besides)],
        "validations": [_validation(f"{besides.is_itself} || !({_IS_REFUSED})", _MESSAGE)],
    }
    return _policy(_name(besides), (_POOLS, ADDRESS_POOLS), (besides.api, besides.kind), said)


def _claims() -> dict[str, Any]:
    """What is said of a claim by hand: its address is one of its pool; the controller may know the pool better."""
    by_hand = (
        "object.spec.?pool.orValue('') != '' && object.spec.?mode.orValue('translated') == 'translated'"
        " && !has(object.spec.released)"
        " && (request.operation == 'CREATE' || object.spec.?pool != oldObject.spec.?pool)"
    )
    entries = readable(f"{_OTHER.given(OTHER)} + {_OTHER.left_out(OTHER_BUT)}")
    around = "variables.intervals.filter(i, i.first <= p && p < i.end).map(i, i.kind)"
    ends = f"{_OTHER.avoids} && p.startsWith('4') && (p.endsWith('00') || p.endsWith('ff'))"
    inside = f"'{OTHER}' in k && !('{OTHER_BUT}' in k) && !({ends})"
    variables = {
        "ordered": ordered(entries),
        "intervals": intervals("variables.ordered"),
        "given": bound("p", sorting("object.spec.address"), bound("k", around, inside)),
    }
    message = (
        "'spec.address: ' + object.spec.address + ' is none that pool ' + object.spec.pool"
        " + ' gives: give another one, or leave spec.pool out'"
    )
    return {
        "matchConditions": [
            {"name": "not-the-controller", "expression": f"request.userInfo.username != '{_CONTROLLER}'"},
            {"name": "by-hand", "expression": by_hand},
        ],
        "variables": [{"name": name, "expression": expression} for name, expression in variables.items()],
        "validations": [_validation("params.metadata.name != object.spec.pool || variables.given", message)],
    }


def _ranges() -> dict[str, Any]:
    """What is said of the ranges of a pool, which would be too dear in its schema."""
    wrong = (
        f"object.spec.?ranges.orValue([]).filter(r, isIP(r.first) && isIP(r.last)"
        f" && {bound('a', 'string(r.first)', sorting('a'))} > {bound('a', 'string(r.last)', sorting('a'))})"
    )
    field = "'spec.ranges[' + string(object.spec.ranges.indexOf(variables.wrong[0])) + ']: '"
    both = "variables.wrong[0].first + '-' + variables.wrong[0].last"
    message = f"variables.wrong.size() == 0 ? '' : {field} + {both} + ': first must not be greater than last'"
    return {
        "matchConditions": [_CHANGES],
        "variables": [{"name": "wrong", "expression": wrong}],
        "validations": [_validation("variables.wrong.size() == 0", message)],
    }


def _validation(expression: str, message: str) -> dict[str, str]:
    return {"expression": expression, "messageExpression": message, "reason": "Invalid"}


def _variables(besides: Besides) -> Iterator[tuple[str, str]]:
    forgets = f"oldObject == null || {_OLD.avoids} && !{_NEW.avoids}"
    yield "given", readable(_NEW.given(NEW))
    yield "besides", readable(besides.entries)
    # most pairs are far from each other, and a cluster may have thousands of nodes
    around = "c.containsCIDR(d) || d.containsCIDR(c)"
    yield "covers", covers("variables.besides")
    yield "near", f"{covers('variables.given')}.exists(c, variables.covers.exists(d, {around}))"
    before = f"{_OLD.given(OLD)} + {_OLD.left_out(OLD_BUT)}"
    left_out = f"{_NEW.left_out(NEW_BUT)} + {besides.left_out}"
    yield "entries", f"variables.given + variables.besides + {left_out} + ({forgets} ? [] : {before})"
    yield "ordered", ordered(readable("variables.entries"))
    yield "intervals", intervals("variables.ordered")
    begin = f"filter(i, i.kind in ['{NEW}', '{OTHER}', '{OLD_BUT}']).map(i, i.first)"
    end = f"filter(i, i.kind in ['{NEW_BUT}', '{OTHER_BUT}', '{OLD}']).map(i, i.end)"
    yield "points", f"variables.intervals.{begin} + variables.intervals.{end}"
    yield "avoiding", f"{_NEW.avoids} || {besides.avoids}"
    yield "usable", f"variables.avoiding ? {usable('variables.points')} : variables.points"
    kinds = "variables.intervals.filter(i, i.first <= p && p < i.end).map(i, i.kind)"
    inside = (
        f"'{NEW}' in k && '{OTHER}' in k && !('{NEW_BUT}' in k) && !('{OTHER_BUT}' in k)"
        f" && (!('{OLD}' in k) || '{OLD_BUT}' in k)"
    )
    yield "common", f"variables.usable.filter(p, {bound('k', kinds, inside)})"


def _said(kind: str) -> str:
    return f"variables.intervals.filter(i, i.kind == '{kind}' && i.first <= p && p < i.end)[0].says"


_FIELD = (
    "m in object.spec.?prefixes.orValue([]) ? 'prefixes[' + string(object.spec.prefixes.indexOf(m)) + ']'"
    " : m in object.spec.?addresses.orValue([]) ? 'addresses[' + string(object.spec.addresses.indexOf(m)) + ']'"
    " : 'ranges[' + string(object.spec.?ranges.orValue([]).map(r, r.first + '-' + r.last).indexOf(m)) + ']'"
)
_REMEDY = "give other addresses' + (has(object.spec.addresses) ? '' : ', or exclude those')"
# the server works a message out for whatever it lets in, too
_IS_REFUSED = "variables.near && variables.common.size() > 0"
_MESSAGE = f"!({_IS_REFUSED}) ? '' : " + bound(
    "p",
    "variables.common[0]",
    bound(
        "m",
        _said(NEW),
        f"'spec.' + ({_FIELD}) + ': ' + m + ' of pool ' + object.metadata.name + ' overlaps ' + {_said(OTHER)}"
        f" + ': {_REMEDY}",
    ),
)


def _bindings(besides: Besides) -> Iterator[dict[str, Any]]:
    if not besides.namespaces:
        yield _binding(_name(besides), _EACH)
    for namespace in besides.namespaces:
        made = _binding(_name(besides), {"namespace": namespace, **_EACH})
        yield {**made, "metadata": {"name": f"{_name(besides)}.{namespace}"}}


def _binding(policy: str, params: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "apiVersion": _API,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": policy},
        "spec": {
            "policyName": policy,
            "validationActions": ["Deny"],
            **({"paramRef": params} if params else {}),
        },
    }


def _name(besides: Besides) -> str:
    return f"pools-beside-{besides.name}.buoy.dev"


def _rule(resource: Resource) -> dict[str, Any]:
    return {
        "apiGroups": [resource.group],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": [resource.plural],
    }


def text() -> str:
    """Return the policies as the text of their file."""
    return _HEAD + yaml.safe_dump_all(policies(), sort_keys=False, width=100)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text())
