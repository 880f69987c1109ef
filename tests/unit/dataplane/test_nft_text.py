# SPDX-License-Identifier: Apache-2.0
"""Names and rules of nft, read back as they were written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.model.address import Prefix
from buoy.model.errors import InvalidInput
from buoy.model.group import Rule, Side
from buoy.render import nft, nft_names, nft_rules

NUMBERS = st.none() | st.integers(0, 65535)
PEERS = st.sampled_from([(None, None), (Prefix("192.0.2.0/24"), None), (None, "4f3c-9"), (Prefix("::/0"), None)])
RULES = st.builds(
    lambda side, family, numbers, peer: Rule(
        side=side,
        family=family,
        protocol=numbers[0],
        first=numbers[1],
        last=numbers[2],
        prefix=peer[0],
        group=peer[1],
    ),
    st.sampled_from(Side),
    st.sampled_from([4, 6]),
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    PEERS,
)


@given(st.text(min_size=1, max_size=8), st.sampled_from(["m4", "gi", "ce"]))
def test_a_name_tells_whose_it_is(identifier: str, kind: str) -> None:
    assert (kind, identifier) == nft_names.identity(nft_names.name(kind, identifier))


@pytest.mark.parametrize("name", ["fip4", "to_guest", "x-1", "internal4"])
def test_static_names_are_nobodys(name: str) -> None:
    assert None is nft_names.identity(name)


@pytest.mark.parametrize("identifier", ["", "x" * 101])
def test_an_impossible_id_is_refused(identifier: str) -> None:
    with pytest.raises(InvalidInput, match="give an id"):
        nft_names.name("gi", identifier)


@given(RULES)
def test_a_comment_tells_the_rule(rule: Rule) -> None:
    assert rule == nft_rules.read(nft_rules.write(rule))


@pytest.mark.parametrize("text", ["", "i4 6 80", "x4 - - - -", "i5 - - - -", "i4 six - - -", "i44 - - - -"])
def test_what_is_no_comment_of_ours_tells_nothing(text: str) -> None:
    assert None is nft_rules.read(text)


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (Rule(side=Side.INGRESS, family=4, first=80), "protocol"),
        (Rule(side=Side.INGRESS, family=4, protocol=112, first=80), "protocol"),
        (Rule(side=Side.INGRESS, family=4, prefix=Prefix("2001:db8::/32")), "prefix"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(rule: Rule, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        nft_rules.statements(rule)
    assert field == refused.value.field


@pytest.mark.parametrize("group", ["x" * 120, 'a"b'])
def test_a_group_that_fits_no_comment_is_refused(group: str) -> None:
    with pytest.raises(InvalidInput, match="group ids"):
        nft_rules.write(Rule(side=Side.EGRESS, family=4, group=group))


GROUP = (
    Rule(side=Side.INGRESS, family=4, group="other"),
    Rule(side=Side.EGRESS, family=4, protocol=17, first=53),
)


def test_a_group_is_known_by_its_comments() -> None:
    assert GROUP == nft.read_group(nft.group_comments(GROUP))


@pytest.mark.parametrize("side", Side)
def test_a_group_with_a_rule_missing_is_not_known(side: Side) -> None:
    comments = nft.group_comments(GROUP)
    comments[side] = comments[side][1:]
    assert None is nft.read_group(comments)


def test_a_combination_is_known_by_its_comments() -> None:
    told = nft.combination_comments(("a", "b"))
    assert ("a", "b") == nft.read_combination(dict.fromkeys(Side, told))
    assert None is nft.read_combination({Side.INGRESS: told, Side.EGRESS: told[1:]})


def test_removals_flush_before_they_delete() -> None:
    assert ["flush chain inet buoy a", "delete chain inet buoy a"] == nft.remove_chains(["a"]).splitlines()
    assert ["delete set inet buoy s"] == nft.remove_sets(["s"]).splitlines()
