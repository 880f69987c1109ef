# SPDX-License-Identifier: Apache-2.0
"""From settings to a store of either world: etcd or a file, or Kubernetes' API server."""

import os

from buoy.store.opening import open_store
from buoy.store.settings import StoreSettings
from buoy.store.store import Reporter, Store

CLUSTER_IPS = "CALICO_ADVERTISE_CLUSTER_IPS"
"""The environment variable that Calico takes before a BGPConfiguration's serviceClusterIPs; we too."""


def open_any(settings: StoreSettings, reporter: Reporter = lambda _: None, *, node: str = "") -> Store:
    """Return the store the settings name, not yet connected; raise `InvalidInput` if they cannot work.

    `node` is the one the process speaks for, empty for a command line.
    """
    if not settings.kubeconfig:
        return open_store(settings, reporter)
    # imported here: who asks etcd must not wait for aiohttp
    from buoy.kubernetes.source import KubernetesSettings, open_kubernetes  # noqa: PLC0415
    from buoy.kubernetes.translate import TranslationSettings  # noqa: PLC0415

    said = TranslationSettings(cluster_ips=os.environ.get(CLUSTER_IPS, ""))
    where = KubernetesSettings(kubeconfig=settings.kubeconfig, context=settings.context, node=node, translation=said)
    return open_kubernetes(where, reporter)
