# SPDX-License-Identifier: Apache-2.0
"""A pool that is named is the only one considered."""

import msgspec
import pytest

from buoy.ipam.allocate import allocate
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Allocation, Scope
from buoy.model.address import Prefix
from buoy.model.pool import Selector
from buoy.model.refusal import AllocationReason, Refusal
from tests.unit.ipam.room import (
    NOW,
    SMALL,
    V4,
    addresses,
    asks,
    carry_out,
    claim,
    lacking,
    naming,
    only,
    pool,
    service,
    ways,
)


class TestNamedPools:
    def test_a_named_pool_is_the_only_one_considered(self) -> None:
        choices = {4: naming("missing")}
        said = "missing: there is no such pool; annotation buoy.dev/pool names it"
        assert said == only(asks(choices=choices), V4)
        assert said == only(asks(choices={4: naming("missing", scope=Scope.GLOBAL)}), V4)

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"draining": True}, AllocationReason.POOL_DRAINING),
            ({"namespaces": ("sales",)}, AllocationReason.NOT_FOR_NAMESPACE),
            ({"exclude": (Prefix("192.0.2.0/24"),)}, AllocationReason.POOL_FULL),
        ],
    )
    def test_one_that_gives_nothing_is_a_no_though_another_would(
        self, changed: dict[str, object], reason: AllocationReason
    ) -> None:
        refused = allocate(asks(choices={4: naming("small")}), Ledger([V4, pool(SMALL, **changed)]), NOW)
        assert isinstance(refused, Refusal)
        assert [reason] == [cause.reason for cause in refused.causes]

    def test_it_needs_not_be_automatic(self) -> None:
        manual = pool(SMALL, automatic=False)
        assert ["192.0.2.0"] == addresses(allocate(asks(choices={4: naming("small")}), Ledger([V4, manual]), NOW))

    def test_several_are_tried_in_their_order(self) -> None:
        request = asks(choices={4: naming("small", "a")})
        full = pool(SMALL, exclude=(Prefix("192.0.2.0/31"),))
        assert ["198.51.100.0 a fresh"] == ways(allocate(request, Ledger([V4, full]), NOW))

    def test_who_names_another_pool_moves_there(self) -> None:
        ledger = Ledger([V4, SMALL])
        carry_out(asks(choices={4: naming("a")}), ledger)
        moved = allocate(asks(choices={4: naming("small")}), ledger, NOW)
        assert isinstance(moved, Allocation)
        assert (["192.0.2.0 small fresh"], ("198.51.100.0",)) == (ways(moved), moved.surplus)

    def test_and_stays_where_it_is_while_the_other_gives_nothing(self) -> None:
        ledger = Ledger([V4])
        carry_out(asks(), ledger)
        stays = allocate(asks(choices={4: naming("small")}), ledger, NOW)
        assert ["198.51.100.0 a kept"] == ways(stays)
        assert ["small: there is no such pool; annotation buoy.dev/pool names it"] == lacking(stays)

    def test_another_pool_of_the_namespace_or_cluster_moves_nobody(self) -> None:
        ledger = Ledger([V4, SMALL])
        carry_out(asks(), ledger)
        for scope in (Scope.NAMESPACE, Scope.GLOBAL):
            request = asks(choices={4: naming("small", scope=scope)})
            assert ["198.51.100.0 a kept"] == ways(allocate(request, ledger, NOW))

    def test_an_address_that_is_in_the_named_pool_stays_whatever_its_claim_says(self) -> None:
        held = claim("192.0.2.1", service(), pool="renamed")
        request = asks(choices={4: naming("small")})
        assert ["192.0.2.1 renamed kept"] == ways(allocate(request, Ledger([SMALL], [held]), NOW))

    def test_contrails_full_name_is_an_alias_before_its_last_part_is_a_name(self) -> None:
        full = "default-domain:k8s-dev:public:default"
        choice = msgspec.structs.replace(naming("default"), full=full)
        pools = [pool(name="default"), pool(SMALL, aliases=(full,))]
        assert ["small"] == [
            given.pool
            for decision in [allocate(asks(choices={4: choice}), Ledger(pools), NOW)]
            if isinstance(decision, Allocation)
            for given in decision.addresses
        ]
        assert ["a"] == [
            given.pool
            for decision in [
                allocate(asks(choices={4: naming("old-name")}), Ledger([pool(aliases=("old-name",))]), NOW)
            ]
            if isinstance(decision, Allocation)
            for given in decision.addresses
        ]

    @pytest.mark.parametrize("project", ["k8s-ns-user-1", "ns-user-1"])
    def test_contrails_project_is_one_of_the_namespaces_the_pool_lists(self, project: str) -> None:
        choice = msgspec.structs.replace(naming("a"), full=f"default-domain:{project}:vn:a")
        assert ["198.51.100.0"] == addresses(
            allocate(asks(choices={4: choice}), Ledger([pool(namespaces=("dev", "ns-user-1"))]), NOW)
        )
        assert f"a: not of project {project}, which annotation buoy.dev/pool names; it is for namespaces dev" == only(
            asks(choices={4: choice}), pool(namespaces=("dev",))
        )
        selected = pool(namespaces=("dev",), namespace_selectors=(Selector(labels={"team": "x"}),))
        assert ["198.51.100.0"] == addresses(allocate(asks(choices={4: choice}), Ledger([selected]), NOW))
        assert ["198.51.100.0"] == addresses(allocate(asks(choices={4: choice}), Ledger([V4]), NOW))
