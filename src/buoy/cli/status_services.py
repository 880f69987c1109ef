# SPDX-License-Identifier: Apache-2.0
"""What `buoy status` says of a cluster's objects: whether a controller leads, who waits for an address, what is wrong.

Promises nothing for a store that is no API server, and nothing wrong for a cluster
in which another program gives the addresses. The tricky thing is a right that our
account lacks: it costs these lines and no others.
"""

from collections.abc import Iterator, Sequence

from buoy.cli.context import store_settings
from buoy.cli.status_line import Line, few
from buoy.model.errors import InvalidInput
from buoy.store.store import Store

_LEADERLESS = "no Service is given an address: kubectl get pods,leases -n buoy-system"


async def look(store: Store) -> list[Line]:
    """Ask the store's API server, if it is one; raise `StoreUnavailable`."""
    if not store_settings().kubeconfig:
        return []
    # imported here: who asks etcd must not wait for aiohttp
    from buoy.cli import status_objects
    from buoy.kubernetes.allocating import allocating
    from buoy.kubernetes.source import KubernetesStore

    if not isinstance(store, KubernetesStore):
        return []
    try:
        leader, waiting = await allocating(store.api)
    except InvalidInput as error:
        return [("services", "not seen", str(error))]
    return [*lines(leader, waiting), *await status_objects.look(store.api)]


def lines(leader: str | None, waiting: Sequence[str]) -> Iterator[Line]:
    """Yield a line for the controller, if there ever was one, and one for the Services without an address."""
    if leader is not None:
        yield "controller", f"{leader} leads" if leader else "nobody leads", "" if leader else _LEADERLESS
    if waiting:
        names = few(waiting)
        yield "services", f"{len(waiting)} without an address", f"{names}; buoy why {waiting[0]}"
