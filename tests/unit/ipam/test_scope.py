# SPDX-License-Identifier: Apache-2.0
"""Which pool, address and key an object asks for, in whichever notation; and what it is told if that is none."""

import msgspec
import pytest

from buoy.ipam.allocate import allocate
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Scope
from buoy.ipam.scope import Said, Wishes, wishes
from buoy.model.address import Prefix
from buoy.model.refusal import AllocationReason
from tests.unit.ipam.room import NOW, addresses, asks, pool

FULL = "default-domain:k8s-dev:vn-dev:pool-dev"
JSON = '{"domain": "default-domain", "project": "k8s-dev", "network": "vn-dev", "name": "pool-dev"}'
PYTHON = JSON.replace('"', "'")
PUBLIC = "{'domain': 'default-domain','name': 'pool-public','network': 'vn-public','project': 'k8s-user-1'}"


def said(**annotations: str) -> Said:
    """Return a Service with annotations; ``buoy_pool`` is ``buoy.dev/pool``."""
    names = {
        "pool": "buoy.dev/pool",
        "addresses": "buoy.dev/addresses",
        "key": "buoy.dev/sharing-key",
        "contrail": "opencontrail.org/fip-pool",
        "metallb_pool": "metallb.io/address-pool",
        "metallb_addresses": "metallb.io/loadBalancerIPs",
        "metallb_key": "metallb.io/allow-shared-ip",
        "old_metallb_pool": "metallb.universe.tf/address-pool",
        "old_metallb_addresses": "metallb.universe.tf/loadBalancerIPs",
        "old_metallb_key": "metallb.universe.tf/allow-shared-ip",
        "calico4": "projectcalico.org/ipv4pools",
        "calico6": "projectcalico.org/ipv6pools",
        "calico_addresses": "projectcalico.org/loadBalancerIPs",
        "pod_addresses": "cni.projectcalico.org/floatingIPs",
        "ingress_address": "externalIP",
    }
    return Said(kind="Service", namespace="dev", annotations={names[key]: text for key, text in annotations.items()})


def of(said: Said, **fields: object) -> Said:
    return msgspec.structs.replace(said, **fields)


def pools(said: Said) -> dict[int, tuple[str, ...]]:
    wish = wishes(said, (4, 6))
    assert () == wish.objections
    return {of_family: choice.pools for of_family, choice in wish.choices.items()}


def objections(said: Said, families: tuple[int, ...] = (4,)) -> list[str]:
    return [str(objection) for objection in wishes(said, families).objections]


def test_who_says_nothing_wishes_nothing() -> None:
    blank = of(said(pool=" ", contrail="", key=" "), namespace_annotations={"buoy.dev/pool": ""}, address=" ")
    for nothing in (said(), blank, of(said(), public_pool="{}"), of(said(), public_pool="{ }")):
        assert Wishes() == wishes(nothing, (4, 6))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (said(pool="a"), {4: ("a",), 6: ("a",)}),
        (said(pool="a, b"), {4: ("a", "b"), 6: ("a", "b")}),
        (said(contrail=JSON), {4: ("pool-dev",), 6: ("pool-dev",)}),
        (said(contrail=f" {PYTHON} "), {4: ("pool-dev",), 6: ("pool-dev",)}),
        (said(metallb_pool="a"), {4: ("a",), 6: ("a",)}),
        (said(old_metallb_pool=" a"), {4: ("a",), 6: ("a",)}),
        (said(calico4='["a", "b"]'), {4: ("a", "b")}),
        (said(calico4='["a"]', calico6="['c']"), {4: ("a",), 6: ("c",)}),
        (said(pool="pool-dev", contrail=JSON, metallb_pool="pool-dev"), {4: ("pool-dev",), 6: ("pool-dev",)}),
        (of(said(), public_pool=PUBLIC), {4: ("pool-public",), 6: ("pool-public",)}),
        (of(said(), public_pool=f'"{PUBLIC}"'), {4: ("pool-public",), 6: ("pool-public",)}),
    ],
)
def test_a_pool_is_named_in_anybodys_notation(said: Said, expected: dict[int, tuple[str, ...]]) -> None:
    assert expected == pools(said)


def test_contrails_full_name_goes_with_the_choice_whoever_else_names_the_pool() -> None:
    for each in (said(contrail=JSON), said(pool="pool-dev", contrail=PYTHON)):
        assert FULL == wishes(each, (4,)).choices[4].full


def test_the_object_prevails_over_its_namespace_and_that_over_the_cluster() -> None:
    everywhere = of(said(pool="one"), namespace_annotations={"opencontrail.org/fip-pool": JSON}, public_pool=PUBLIC)
    in_namespace = of(everywhere, annotations={})
    in_cluster = of(in_namespace, namespace_annotations={})
    found = [wishes(each, (4,)).choices[4] for each in (everywhere, in_namespace, in_cluster)]
    assert [("one",), ("pool-dev",), ("pool-public",)] == [choice.pools for choice in found]
    assert [Scope.OBJECT, Scope.NAMESPACE, Scope.GLOBAL] == [choice.scope for choice in found]
    assert [
        "annotation buoy.dev/pool",
        "annotation opencontrail.org/fip-pool of namespace dev",
        "KUBERNETES_PUBLIC_FIP_POOL",
    ] == [choice.said for choice in found]


def test_a_pool_for_one_family_leaves_the_other_to_the_next_scope() -> None:
    assert {4: ("a",), 6: ("n",)} == pools(of(said(calico4='["a"]'), namespace_annotations={"buoy.dev/pool": "n"}))


def test_metallbs_and_calicos_annotations_mean_nothing_on_a_namespace() -> None:
    foreign = {"metallb.io/address-pool": "a", "projectcalico.org/ipv4pools": '["a"]'}
    assert {} == pools(of(said(), namespace_annotations=foreign))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("pool-dev", "it is no dictionary"),
        ("{'name': 'pool-dev'", "it is no dictionary"),
        ("['pool-dev']", "it is no dictionary"),
        ('"x"', "it is no dictionary"),
        ("__import__('os')", "it is no dictionary"),
        ("{}", "it has no proper domain, project, network, name"),
        ("{'domain': ' ', 'project': 'a:b', 'network': 7, 'name': 'n'}", "it has no proper domain, project, network"),
        ("{[]: 1}", "it is no dictionary"),
    ],
)
def test_a_dictionary_that_is_none_is_refused_by_name(text: str, error: str) -> None:
    assert [f"annotation opencontrail.org/fip-pool: {text!r} cannot be read: {error}"] == objections(
        said(contrail=text)
    )
    assert wishes(said(contrail=text), (4,)).objections[0].remedy.startswith('write {"domain": "default-domain"')


@pytest.mark.parametrize("text", ["[" * 1000, "(" * 1000, "-" * 1000 + "1", "{" * 100_000, "\0", "\ud800"])
def test_nothing_that_is_written_makes_the_reader_fail(text: str) -> None:
    found = objections(said(contrail=text))
    assert 1 == len(found)
    assert len(found[0]) < 250


def test_a_malformed_public_pool_is_told_only_to_whom_it_would_decide() -> None:
    broken = of(said(), public_pool="{'name': 'pool-public'}")
    text = repr(broken.public_pool)
    refusal = f"KUBERNETES_PUBLIC_FIP_POOL: {text} cannot be read: it has no proper domain, project, network"
    assert [refusal] == objections(broken, (4, 6))
    assert [] == objections(of(broken, annotations={"buoy.dev/pool": "a"}))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            said(pool="a", metallb_pool="b"),
            "annotation buoy.dev/pool says a, but annotation metallb.io/address-pool says b",
        ),
        (
            said(contrail=JSON, calico4='["b", "c"]'),
            "annotation opencontrail.org/fip-pool says pool-dev, but annotation projectcalico.org/ipv4pools says b, c",
        ),
        (
            of(said(addresses="192.0.2.7,2001:db8::7"), address="192.0.2.8"),
            "annotation buoy.dev/addresses says 192.0.2.7, but spec.loadBalancerIP says 192.0.2.8",
        ),
        (
            said(key="x", old_metallb_key="y"),
            "annotation buoy.dev/sharing-key says x, but annotation metallb.universe.tf/allow-shared-ip says y",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_and_names_both(said: Said, expected: str) -> None:
    assert [expected] == objections(said)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (said(addresses="192.0.2.7"), {4: "192.0.2.7"}),
        (said(addresses="2001:DB8::7, 192.0.2.7"), {4: "192.0.2.7", 6: "2001:db8::7"}),
        (of(said(), address="192.0.2.7"), {4: "192.0.2.7"}),
        (of(said(addresses="192.0.2.7,2001:db8::7"), address="192.0.2.7"), {4: "192.0.2.7", 6: "2001:db8::7"}),
        (said(metallb_addresses="192.0.2.7,2001:db8::7"), {4: "192.0.2.7", 6: "2001:db8::7"}),
        (said(old_metallb_addresses="192.0.2.7"), {4: "192.0.2.7"}),
        (said(calico_addresses='["192.0.2.7"]'), {4: "192.0.2.7"}),
        (of(said(ingress_address="192.0.2.7"), kind="Ingress"), {4: "192.0.2.7"}),
        (said(ingress_address="192.0.2.7"), {}),
        (of(said(pod_addresses='["192.0.2.7"]'), kind="Pod"), {4: "192.0.2.7"}),
        (said(pod_addresses='["192.0.2.7"]'), {}),
    ],
)
def test_an_address_is_asked_for_in_anybodys_notation(said: Said, expected: dict[int, str]) -> None:
    assert (expected, ()) == (wishes(said, (4, 6)).wanted, wishes(said, (4, 6)).objections)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (said(addresses="192.0.2.7,"), "nothing is no address"),
        (said(addresses="192.0.2.0/24"), "192.0.2.0/24 is no address"),
        (said(addresses="192.0.2.7,192.0.2.8"), "it has two addresses of IPv4"),
        (said(calico_addresses="192.0.2.7"), "it is no list of addresses"),
        (said(calico_addresses="[]"), "it is no list of addresses"),
        (said(calico_addresses="[7]"), "7 is no address"),
        (said(calico4="a"), "it is no list of names"),
        (said(calico4="[]"), "it is no list of names"),
        (said(calico4="['']"), "it is no list of names"),
        (said(pool="a,,b"), "a name between the commas is empty"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(said: Said, error: str) -> None:
    key, text = next(iter(said.annotations.items()))
    assert [f"annotation {key}: {text!r} cannot be read: {error}"] == objections(said)


def test_a_sharing_key_is_one_in_anybodys_notation() -> None:
    for each in (said(key="k"), said(metallb_key="k "), said(key="k", old_metallb_key="k")):
        assert Wishes(sharing="k") == wishes(each, (4,))


class TestThePracticalExample:
    """Pools of the cluster, of dev and of sales, and an object of dev that asks for the one of sales."""

    LEDGER = Ledger(
        pool(name=name, prefixes=(Prefix(f"192.0.2.{place * 16}/28"),))
        for place, name in enumerate(("pool-global-default", "pool-dev", "pool-sales"))
    )

    def given(self, namespace: str, named: str = "", of_object: str = "") -> list[str]:
        def dictionary(name: str) -> dict[str, str]:
            full = f'{{"domain":"default-domain","project":"k8s-{namespace}","network":"vn","name":"{name}"}}'
            return {"opencontrail.org/fip-pool": full} if name else {}

        wish = wishes(
            Said(
                kind="Service",
                namespace=namespace,
                annotations=dictionary(of_object),
                namespace_annotations=dictionary(named),
                public_pool=PUBLIC.replace("pool-public", "pool-global-default"),
            ),
            (4,),
        )
        request = asks(namespace=namespace, choices=wish.choices, objections=wish.objections)
        return addresses(allocate(request, self.LEDGER, NOW))

    def test_each_gets_its_address_of_the_most_special_scope(self) -> None:
        assert ["192.0.2.0"] == self.given("test-only")
        assert ["192.0.2.16"] == self.given("dev", "pool-dev")
        assert ["192.0.2.32"] == self.given("sales", "pool-sales")
        assert ["192.0.2.32"] == self.given("dev", "pool-dev", "pool-sales")

    def test_calico_may_name_a_pool_by_its_prefix(self) -> None:
        wish = wishes(said(calico4='["192.0.2.16/28"]'), (4,))
        assert ["192.0.2.16"] == addresses(allocate(asks(choices=wish.choices), self.LEDGER, NOW))


def test_a_pod_names_a_pool_or_an_address_in_one_annotation() -> None:
    def pod(text: str, **more: str) -> Said:
        return Said(kind="Pod", namespace="dev", annotations={"buoy.dev/floating-ip": text, **more})

    assert {4: ("gold", "iron")} == pools_of(wishes(pod("gold, iron"), (4,)))
    assert {4: "192.0.2.7", 6: "2001:db8::7"} == wishes(pod("192.0.2.7,2001:db8::7"), (4, 6)).wanted
    calico = {"cni.projectcalico.org/floatingIPs": '["192.0.2.8"]'}
    assert [AllocationReason.CONTRADICTION] == [
        each.reason for each in wishes(pod("192.0.2.7", **calico), (4,)).objections
    ]
    of_service = msgspec.structs.replace(pod("192.0.2.7"), kind="Service")
    assert Wishes() == wishes(of_service, (4,)), "it means nothing on others"


def pools_of(wish: Wishes) -> dict[int, tuple[str, ...]]:
    assert {} == wish.wanted
    return {of_family: choice.pools for of_family, choice in wish.choices.items()}
