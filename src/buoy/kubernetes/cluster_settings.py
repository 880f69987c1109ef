# SPDX-License-Identifier: Apache-2.0
"""The settings of a cluster, kept together with those who say them."""

from collections.abc import Collection, Mapping

import msgspec

from buoy.kubernetes.bgp_configuration import DEFAULT, Configured, configure
from buoy.kubernetes.foreign import BGPConfiguration
from buoy.model.address import Prefix
from buoy.model.peer import BGPSettings
from buoy.model.pool import Pool


class ClusterSettings:
    """Buoy's BGPSettings, every BGPConfiguration, what the environment says of cluster IPs, and what those come of."""

    def __init__(self, cluster_ips: str) -> None:
        self.own: BGPSettings | None = None
        self._cluster_ips = cluster_ips
        self._configurations: dict[str, BGPConfiguration] = {}
        self._networks: dict[str, tuple[Prefix, ...]] = {}

    def take_configuration(self, name: str, found: BGPConfiguration | None) -> None:
        """Hear of a BGPConfiguration, None if it is gone."""
        if found is None:
            self._configurations.pop(name, None)
        else:
            self._configurations[name] = found

    def take_network(self, name: str, prefixes: tuple[Prefix, ...]) -> None:
        """Hear which prefixes a network of cluster IPs has, none if it is gone."""
        self._networks[name] = prefixes

    def said(self) -> BGPSettings:
        """Return the settings but for what comes of pools and networks, the usual ones if nobody says anything."""
        return self._configured(()).settings

    def document(self, pools: Collection[Pool]) -> BGPSettings | None:
        """Return the settings, None if nobody says anything."""
        said = self.own or self._configurations.get(DEFAULT) or self._cluster_ips or pools
        if not said:
            return None
        settings = self._configured(pools).settings
        inside = {prefix for prefixes in self._networks.values() for prefix in prefixes}
        more = sorted(inside.difference(settings.internal_prefixes))
        return msgspec.structs.replace(settings, internal_prefixes=(*settings.internal_prefixes, *more))

    def notices(self, pools: Collection[Pool]) -> Mapping[str, tuple[str, ...]]:
        """What of each BGPConfiguration is not in force, and why, by name."""
        told: dict[str, tuple[str, ...]] = dict.fromkeys(
            self._configurations, (f"only the one named {DEFAULT} is read by this version",)
        )
        if DEFAULT in told:
            told[DEFAULT] = self._configured(pools).notices
        return told

    def _configured(self, pools: Collection[Pool]) -> Configured:
        return configure(self.own, self._configurations.get(DEFAULT), pools, self._cluster_ips)
