# SPDX-License-Identifier: Apache-2.0
"""Of which addresses it is said that no node is to serve them, and of which it is not."""

import pytest

from buoy.model import documents
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Advertised, Backing, Kind, ProxyPort
from buoy.model.reason import Reason
from buoy.model.service_ip import Mode, Owner, ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.planner.unserved import unserved
from tests.unit.planner.cloud import floating, port

ADDRESS = Address("203.0.113.7")
OWNER = Owner(kind="Service", namespace="shop", name="web")
ADVERTISED = BGPSettings(advertise=(Advertised(prefix=Prefix("203.0.113.0/24"), kinds=(Kind.LOAD_BALANCER,)),))


def proxied(*, owners: tuple[Owner, ...] = (OWNER,), **standing: object) -> ServiceIP:
    ports = (ProxyPort("tcp", 80),)
    known = {"service": "shop/web", "kind": Kind.LOAD_BALANCER, "ports": ports, **standing}
    backing = Backing(**known)  # type: ignore[arg-type]
    return ServiceIP(address=ADDRESS, mode=Mode.PROXIED, backings=(backing,), owners=owners)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ((floating(endpoints=()),), Reason.UNBOUND),
        ((floating(), port()), None),
        ((proxied(ready=("node-1",)), ADVERTISED), None),
        ((proxied(elsewhere=True), ADVERTISED), None),
        ((proxied(), ADVERTISED), Reason.NO_READY_ENDPOINT),
        ((proxied(ready=("node-1",)),), None),
        ((proxied(kind=Kind.EXTERNAL, ready=("node-1",)),), Reason.NOT_ADVERTISED),
        ((proxied(owners=()),), None),
        ((ServiceIP(address=ADDRESS, mode=Mode.PROXIED, owners=(OWNER,)), ADVERTISED), Reason.NO_SERVICE),
    ],
)
def test_what_is_said_where_no_node_says_anything(wanted: tuple[Document, ...], reason: Reason | None) -> None:
    found = {documents.path(document): document for document in wanted}
    told = [withheld.reason for _, withheld in unserved(Snapshot(Identity("", 0), found, {}, {}))]
    assert ([reason] if reason else []) == told
