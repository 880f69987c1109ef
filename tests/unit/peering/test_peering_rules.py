# SPDX-License-Identifier: Apache-2.0
"""Input that no node could use is refused with its field."""

import msgspec
import pytest

from buoy.model.address import Address, Prefix
from buoy.model.errors import InvalidInput
from buoy.model.peer import Action, Bfd, BGPSettings, Filter, FilterRule, Peer, Tagged
from buoy.planner.peering_rules import check_filter, check_peer, check_settings, clashes, length_bounds, missing_filters


def _peer(**fields: object) -> Peer:
    return msgspec.structs.replace(Peer(name="tor", address=Address("192.0.2.1"), asn=64999), **fields)


def _tagged(prefix: str, *communities: str) -> BGPSettings:
    return BGPSettings(communities=(Tagged(prefix=Prefix(prefix), communities=communities),))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a b"),
        ("name", "x" * 64),
        ("name", "-x"),
        ("address", "192.0.2"),
        ("address", "2001:DB8::1"),
        ("address", "fe80::1"),
        ("address", "127.0.0.1"),
        ("address", "::1"),
        ("address", "0.0.0.0"),
        ("address", "ff02::1"),
        ("asn", 0),
        ("asn", 23456),
        ("asn", 2**32),
        ("local_asn", 0),
        ("port", 0),
        ("port", 65536),
        ("connect_retry", 0),
        ("graceful_restart_time", 0),
        ("graceful_restart_time", 4096),
        ("allow_local_as", 256),
        ("multihop", 0),
        ("multihop", 256),
        ("hold_time", 2),
        ("hold_time", 65536),
        ("keepalive", 0),
        ("keepalive", 46),
        ("password", 'say "x"'),
        ("password", "two\nlines"),
        ("password", "x" * 81),
        ("password", "(hidden)"),
        ("source", "2001:db8::1"),
        ("source", "192.0.2.001"),
    ],
)
def test_a_peer_is_refused_for(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_peer(_peer(**{field: value}))

    assert refused.value.field.rpartition(".")[2] == field


@pytest.mark.parametrize("bfd", [Bfd(interval=9), Bfd(interval=60001), Bfd(multiplier=1), Bfd(multiplier=256)])
def test_bfd_outside_its_bounds_is_refused(bfd: Bfd) -> None:
    with pytest.raises(InvalidInput, match=r"peers/tor\.bfd"):
        check_peer(_peer(bfd=bfd))


def test_a_password_stands_in_one_place() -> None:
    with pytest.raises(InvalidInput, match=r"peers/tor\.password_from"):
        check_peer(_peer(password="a", password_from="bgp/tor"))
    with pytest.raises(InvalidInput, match=r"settings/bgp\.password_from"):
        check_settings(BGPSettings(password="a", password_from="bgp/tor"))


def test_a_refused_password_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_peer(_peer(password='s3cret"'))

    assert "s3cret" not in str(refused.value)


def test_a_peer_with_everything_is_fine() -> None:
    check_peer(
        _peer(local_asn=64512, multihop=255, hold_time=0, password="a 'b' \\ $", bfd=Bfd(), source=Address("192.0.2.9"))
    )


@pytest.mark.parametrize(
    ("prefix", "low", "high"),
    [("192.0.2.0/24", 23, None), ("192.0.2.0/24", None, 33), ("192.0.2.0/24", 30, 25), ("2001:db8::/32", None, 129)],
)
def test_a_filter_rule_whose_lengths_cannot_match_is_refused(prefix: str, low: int | None, high: int | None) -> None:
    rule = FilterRule(action=Action.ACCEPT, prefix=Prefix(prefix), low=low, high=high)

    with pytest.raises(InvalidInput, match=r"filters/f.rules\[0\]"):
        check_filter(Filter(name="f", rules=(rule,)))


def test_a_filter_prefix_is_written_canonically() -> None:
    with pytest.raises(InvalidInput, match=r"write it as 2001:db8::/32"):
        check_filter(Filter(name="f", rules=(FilterRule(action=Action.ACCEPT, prefix=Prefix("2001:DB8::/32")),)))


def test_a_rule_matches_from_its_own_length_to_the_host_unless_told() -> None:
    assert length_bounds(FilterRule(action=Action.ACCEPT, prefix=Prefix("192.0.2.0/24"))) == (24, 32)
    assert length_bounds(FilterRule(action=Action.ACCEPT, prefix=Prefix("2001:db8::/32"))) == (32, 128)
    assert length_bounds(FilterRule(action=Action.ACCEPT, prefix=Prefix("192.0.2.0/24"), low=25, high=26)) == (25, 26)


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("asn", BGPSettings(asn=-1)),
        ("listen_port", BGPSettings(listen_port=0)),
        ("hold_time", BGPSettings(hold_time=1)),
        ("password", BGPSettings(password="ümlaut")),
        ("bfd.interval", BGPSettings(bfd=Bfd(interval=1))),
        ("cluster_id", BGPSettings(cluster_id=Address("2001:db8::1"))),
        ("reflectors", BGPSettings(reflectors=("a", "a"))),
        ("originate", BGPSettings(originate=(Prefix("192.0.2.1/24"),))),
        ("communities[0].prefix", _tagged("192.0.2.1/24", "1:2")),
        ("communities[0].communities", _tagged("192.0.2.0/24", "1:2", "1:65536")),
        ("communities[0].communities", _tagged("192.0.2.0/24", "1:2:4294967296")),
        ("communities[0].communities", _tagged("192.0.2.0/24", "01:2")),
        ("communities[0].communities", _tagged("192.0.2.0/24", "1")),
        ("internal_prefixes", BGPSettings(internal_prefixes=(Prefix("nonsense"),))),
    ],
)
def test_settings_are_refused_for(field: str, settings: BGPSettings) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_settings(settings)

    assert refused.value.field == f"settings/bgp.{field}"


def test_good_settings_pass() -> None:
    check_settings(BGPSettings(cluster_id=Address("192.0.2.1"), originate=(Prefix("198.51.100.0/24"),)))
    check_settings(_tagged("192.0.2.0/24", "0:0", "65535:65535", "4294967295:0:4294967295"))


def test_peers_and_filters_must_fit_each_other() -> None:
    few, client = Filter(name="few"), _peer(reflector_client=True)

    assert [] == list(clashes(BGPSettings(), [_peer(export_filter="few", import_filter="few")], [few]))
    assert ["peers/tor.import_filter"] == [
        each.field for each in clashes(BGPSettings(), [_peer(export_filter="few", import_filter="gone")], [few])
    ]
    assert ["peers/tor.reflector_client"] == [each.field for each in clashes(BGPSettings(), [client], [])]
    assert [] == list(clashes(BGPSettings(asn=64999), [client], []))


@pytest.mark.parametrize(
    ("filters", "remedies"),
    [
        (("guard.export", "guard.import"), ["kubectl apply a BGPFilter guard"] * 2),
        (("guard.export", "few.import"), [f"buoy filter add {name} RULE" for name in ("guard.export", "few.import")]),
        (("few", ""), ["buoy filter add few RULE"]),
    ],
)
def test_a_missing_filter_is_made_by_the_kind_it_is_named_by(filters: tuple[str, str], remedies: list[str]) -> None:
    peer = _peer(export_filter=filters[0], import_filter=filters[1])
    start = "nothing passes until there is such a filter: "
    assert [start + remedy for remedy in remedies] == [each.remedy for each in missing_filters(peer, ())]
