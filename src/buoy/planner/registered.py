# SPDX-License-Identifier: Apache-2.0
"""Whether whoever keeps the books of an address's pool has written down that it is ours.

Promises that no address is announced of a pool of Neutron's for which Neutron keeps nothing: OpenStack may give it to
a guest at any moment, and may have. The tricky thing is who knows: the controller asks Neutron, and what it knows
stands in the claim, as the id of a port or of a floating IP.
"""

from buoy.model.pool import Pool, Registry
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import ServiceIP
from buoy.planner.index import Reader


def unregistered(service: ServiceIP, reader: Reader) -> Withhold | None:
    """Return why a service IP may be somebody else's, None if it is known not to be."""
    if service.id or not service.pool:
        return None
    pool = reader.document(f"pools/{service.pool}", Pool)
    if pool is None or pool.registry is Registry.STORE:
        return None
    return Withhold(Reason.NOT_REGISTERED, {"address": service.address, "pool": pool.name})
