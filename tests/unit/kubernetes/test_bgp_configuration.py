# SPDX-License-Identifier: Apache-2.0
"""The cluster's BGP settings, from BGPConfiguration, BGPSettings and the pools."""

from typing import Any

import msgspec
import pytest

from buoy.kubernetes.bgp_configuration import Configured, configure
from buoy.kubernetes.networks import ServiceCIDR
from buoy.kubernetes.resources import ADDRESS_POOLS, BGP_CONFIGURATIONS, SERVICE_CIDRS
from buoy.kubernetes.translate import Translation, TranslationSettings
from buoy.model.address import Address, Prefix
from buoy.model.peer import BGPSettings, Tagged
from buoy.model.pool import Pool, Range
from buoy.model.proxied import Advertised, Kind
from buoy.store.api_names import ObjectName, Resource
from tests.unit.kubernetes.making import address_pool, configuration, stored

DEFAULT = ObjectName("", "default")
SETTINGS = Resource("buoy.dev", "v1", "bgpsettings", namespaced=False)


def configured(**spec: Any) -> Configured:  # noqa: ANN401
    return configure(None, configuration(**spec), ())


def advertised(prefix: str, kind: Kind, *, aggregate: bool = True) -> Advertised:
    return Advertised(prefix=Prefix(prefix), kinds=(kind,), aggregate=aggregate)


def blocks(*cidrs: str) -> list[dict[str, str]]:
    return [{"cidr": cidr} for cidr in cidrs]


def advertising(cidr: str, *communities: str) -> dict[str, Any]:
    return {"prefixAdvertisements": [{"cidr": cidr, "communities": list(communities)}]}


def test_each_list_advertises_its_kind() -> None:
    made = configured(
        serviceClusterIPs=blocks("10.96.0.0/16", "fd00:1234::/112"),
        serviceExternalIPs=blocks("192.0.2.0/24", "198.51.100.7/32"),
        serviceLoadBalancerIPs=blocks("203.0.113.0/24"),
    )
    expected = (
        advertised("10.96.0.0/16", Kind.CLUSTER),
        advertised("fd00:1234::/112", Kind.CLUSTER),
        advertised("192.0.2.0/24", Kind.EXTERNAL),
        advertised("198.51.100.7/32", Kind.EXTERNAL),
        advertised("203.0.113.0/24", Kind.LOAD_BALANCER),
    )
    assert expected == made.settings.advertise
    assert () == made.notices


def test_without_aggregation_only_load_balancer_addresses_go_one_by_one() -> None:
    made = configured(
        serviceExternalIPs=blocks("192.0.2.0/24"),
        serviceLoadBalancerIPs=blocks("203.0.113.0/24"),
        serviceLoadBalancerAggregation="Disabled",
    )
    assert [True, False] == [each.aggregate for each in made.settings.advertise]


def test_host_bits_do_not_count_and_an_address_is_a_host() -> None:
    made = configured(serviceExternalIPs=blocks("192.0.2.7/24", "198.51.100.7"))
    assert ["192.0.2.0/24", "198.51.100.7/32"] == [each.prefix for each in made.settings.advertise]


def test_what_the_environment_says_of_cluster_ips_takes_precedence() -> None:
    found = configuration(serviceClusterIPs=blocks("10.96.0.0/16"), serviceExternalIPs=blocks("192.0.2.0/24"))
    made = configure(None, found, (), "10.97.0.0/16, 10.98.0.0/16")
    expected = ["10.97.0.0/16", "10.98.0.0/16", "192.0.2.0/24"]
    assert expected == [each.prefix for each in made.settings.advertise]


def test_settings_that_are_given_are_in_force() -> None:
    made = configured(
        asNumber="1.10", nodeToNodeMeshEnabled=False, listenPort=1179, nodeMeshMaxRestartTime="2m"
    ).settings
    assert (65546, False, 1179, 120) == (made.asn, made.mesh, made.listen_port, made.graceful_restart_time)


def test_settings_that_are_not_given_are_buoys_own() -> None:
    own = BGPSettings(asn=65001, mesh=False, hold_time=9, reflectors=("node-1",))
    expected = BGPSettings(asn=65002, mesh=False, hold_time=9, reflectors=("node-1",))
    assert expected == configure(own, configuration(asNumber=65002), ()).settings


@pytest.mark.parametrize("asn", [64512, "64512", "0.64512"])
def test_an_as_number_is_written_in_three_ways(asn: object) -> None:
    assert 64512 == configured(asNumber=asn).settings.asn


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"asNumber": 0}, "spec.asNumber"),
        ({"asNumber": "1.70000"}, "spec.asNumber"),
        ({"asNumber": "a"}, "spec.asNumber"),
        ({"listenPort": 70000}, "spec.listenPort"),
        ({"nodeMeshMaxRestartTime": "soon"}, "spec.nodeMeshMaxRestartTime"),
        ({"nodeMeshMaxRestartTime": "2h"}, "spec.nodeMeshMaxRestartTime"),
        ({"asNumber": 23456}, "spec.asNumber"),
        ({"serviceClusterIPs": blocks("10.96.0.0/33")}, "spec.serviceClusterIPs[0].cidr"),
        ({"communities": [{"name": "a", "value": "1:65536"}]}, "spec.communities[0].value"),
        ({"prefixAdvertisements": [{"cidr": "10.0.0"}]}, "spec.prefixAdvertisements[0].cidr"),
        (advertising("10.0.0.0/8", "nobody"), "spec.prefixAdvertisements[0].communities[0]"),
        (advertising("10.0.0.0/8", "1:2:"), "spec.prefixAdvertisements[0].communities[0]"),
        ({"localWorkloadPeeringIPV4": "192.0.2.1"}, "spec.localWorkloadPeeringIPV4"),
    ],
)
def test_what_is_not_in_force_is_named_and_the_rest_is(spec: dict[str, Any], field: str) -> None:
    made = configured(serviceExternalIPs=blocks("192.0.2.0/24"), **spec)
    assert [True] == [notice.startswith(field) for notice in made.notices]
    assert BGPSettings(advertise=(advertised("192.0.2.0/24", Kind.EXTERNAL),)) == made.settings


def test_a_setting_that_no_node_could_work_with_takes_no_other_along() -> None:
    made = configured(asNumber=23456, nodeMeshMaxRestartTime="2m", listenPort=1179)
    assert (BGPSettings(graceful_restart_time=120, listen_port=1179), 1) == (made.settings, len(made.notices))


def test_the_password_between_nodes_is_in_a_secret_and_takes_the_place_of_buoys_own() -> None:
    found = configuration(nodeMeshPassword={"secretKeyRef": {"name": "bgp-secrets", "key": "mesh"}})
    made = configure(BGPSettings(password="own"), found, ())
    assert (BGPSettings(password_from="bgp-secrets/mesh"), ()) == (made.settings, made.notices)


def test_announcements_carry_communities_by_name_or_value() -> None:
    named = [{"name": "blue", "value": "64512:100"}, {"name": "large", "value": "064512:1:0"}]
    made = configured(communities=named, **advertising("192.0.2.7/24", "blue", "large", "65535:65281", "64512:100"))
    expected = Tagged(prefix=Prefix("192.0.2.0/24"), communities=("64512:100", "64512:1:0", "65535:65281"))
    assert ((expected,), ()) == (made.settings.communities, made.notices)


def test_a_community_that_cannot_be_read_takes_no_other_along() -> None:
    made = configured(**advertising("2001:db8::/32", "1:2", "nobody"))
    assert (Tagged(prefix=Prefix("2001:db8::/32"), communities=("1:2",)),) == made.settings.communities


def test_communities_of_both_who_say_some_are_in_force() -> None:
    own = BGPSettings(communities=(Tagged(prefix=Prefix("192.0.2.0/24"), communities=("1:1",)),))
    made = configure(own, configuration(**advertising("198.51.100.0/24", "2:2")), ())
    assert ["192.0.2.0/24", "198.51.100.0/24"] == [each.prefix for each in made.settings.communities]


def test_what_calico_does_anyway_needs_no_word() -> None:
    assert () == configured(bindMode="None", programClusterRoutes="EnabledNoEncapOnly", communities=[]).notices


def test_a_pool_is_advertised_address_by_address() -> None:
    pools = (
        Pool(name="b", prefixes=(Prefix("192.0.2.0/28"),)),
        Pool(name="a", ranges=(Range(first=Address("10.0.0.1"), last=Address("10.0.0.2")),)),
    )
    expected = tuple(
        advertised(prefix, Kind.LOAD_BALANCER, aggregate=False)
        for prefix in ("10.0.0.1/32", "10.0.0.2/32", "192.0.2.0/28")
    )
    assert expected == configure(None, None, pools).settings.advertise


def test_a_pool_within_a_prefix_that_is_advertised_is_announced_as_that_says() -> None:
    pools = (Pool(name="a", prefixes=(Prefix("192.0.2.0/28"), Prefix("198.51.100.0/24"))),)
    found = configuration(serviceLoadBalancerIPs=blocks("192.0.2.0/24"), serviceExternalIPs=blocks("198.51.100.0/24"))
    made = configure(None, found, pools).settings.advertise
    assert advertised("192.0.2.0/28", Kind.LOAD_BALANCER, aggregate=False) not in made
    assert advertised("198.51.100.0/24", Kind.LOAD_BALANCER, aggregate=False) in made


def test_a_pool_within_a_prefix_of_buoys_own_settings_is_announced_as_that_says_too() -> None:
    own = BGPSettings(advertise=(advertised("192.0.2.0/24", Kind.LOAD_BALANCER),))
    made = configure(own, None, (Pool(name="a", prefixes=(Prefix("192.0.2.0/28"),)),))
    assert own == made.settings


def test_a_cluster_that_says_nothing_has_no_settings() -> None:
    translation = Translation()
    translation.take(BGP_CONFIGURATIONS, {ObjectName("", "node.node-1"): configuration("node.node-1", listenPort=1179)})
    assert {} == translation.documents
    assert ["bgpconfigurations.projectcalico.org/node.node-1"] == list(translation.notices)


def test_settings_follow_their_three_sources() -> None:
    translation = Translation()
    translation.take(ADDRESS_POOLS, {ObjectName("m", "public"): address_pool(addresses=["192.0.2.0/28"])})
    assert 64512 == settings(translation).asn
    translation.take(SETTINGS, {DEFAULT: stored(BGPSettings(asn=65001))})
    assert 65001 == settings(translation).asn
    translation.take(BGP_CONFIGURATIONS, {DEFAULT: configuration(asNumber=65002)})
    assert 65002 == settings(translation).asn
    assert ["192.0.2.0/28"] == [each.prefix for each in settings(translation).advertise]
    translation.take(BGP_CONFIGURATIONS, {DEFAULT: None})
    translation.take(ADDRESS_POOLS, {ObjectName("m", "public"): None})
    assert BGPSettings(asn=65001) == settings(translation)


def test_the_environment_makes_settings_by_itself() -> None:
    translation = Translation(TranslationSettings(cluster_ips="10.96.0.0/16"))
    assert (advertised("10.96.0.0/16", Kind.CLUSTER),) == settings(translation).advertise


def test_buoys_own_pool_is_in_force_before_metallbs_of_the_same_name() -> None:
    translation = Translation()
    translation.take(ADDRESS_POOLS, {ObjectName("m", "public"): address_pool(addresses=["192.0.2.0/28"])})
    pools = Resource("buoy.dev", "v1", "pools", namespaced=False)
    own = Pool(name="public", prefixes=(Prefix("198.51.100.0/24"),))
    translation.take(pools, {ObjectName("", "public"): stored(own)})
    assert own == translation.documents["pools/public"]
    assert ["ipaddresspools.metallb.io/m/public"] == list(translation.notices)
    translation.take(pools, {ObjectName("", "public"): None})
    assert own != translation.documents["pools/public"]


def settings(translation: Translation) -> BGPSettings:
    found = translation.documents["settings/bgp"]
    assert isinstance(found, BGPSettings)
    return found


def test_what_is_asked_of_cluster_ips_is_inside_and_what_is_no_prefix_is_told() -> None:
    def network(*cidrs: str) -> ServiceCIDR:
        return msgspec.convert({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs}}, ServiceCIDR)

    translation, name = Translation(), ObjectName("", "kubernetes")
    assert {} == translation.take(SERVICE_CIDRS, {name: network("10.96.0.0/16", "fd00:1234::/112")})
    translation.take(SETTINGS, {DEFAULT: stored(BGPSettings(internal_prefixes=(Prefix("10.96.0.0/16"),)))})
    assert ("10.96.0.0/16", "fd00:1234::/112") == internal(translation)
    translation.take(SERVICE_CIDRS, {name: network("10.96.0.1/16")})
    assert ("10.96.0.0/16", "fd00:1234::/112") == internal(translation)
    assert "spec.cidrs[0]" in translation.broken["servicecidrs.networking.k8s.io/kubernetes"]
    translation.take(SERVICE_CIDRS, {name: None})
    assert ("10.96.0.0/16",) == internal(translation)


def internal(translation: Translation) -> tuple[Prefix, ...]:
    settings = translation.documents["settings/bgp"]
    assert isinstance(settings, BGPSettings)
    return settings.internal_prefixes
