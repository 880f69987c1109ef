# SPDX-License-Identifier: Apache-2.0
"""What the tests of allocation speak of: pools, objects, claims and a moment."""

import datetime as dt

import msgspec

from buoy.ipam.allocate import allocate
from buoy.ipam.claim import claimed
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Allocation, Choice, Request, Scope
from buoy.model.address import Address, Prefix
from buoy.model.pool import Pool
from buoy.model.refusal import Cause, Refusal
from buoy.model.service_ip import Owner, ServiceIP

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
V4 = Pool(name="a", prefixes=(Prefix("198.51.100.0/24"),))
V6 = Pool(name="six", prefixes=(Prefix("2001:db8::/64"),))
SMALL = Pool(name="small", prefixes=(Prefix("192.0.2.0/31"),))


def later(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def pool(like: Pool = V4, **fields: object) -> Pool:
    return msgspec.structs.replace(like, **fields)


def service(name: str = "web", namespace: str = "dev", **fields: object) -> Owner:
    return msgspec.structs.replace(Owner(kind="Service", namespace=namespace, name=name, uid="1"), **fields)


def asks(name: str = "web", **fields: object) -> Request:
    namespace = str(fields.pop("namespace", "dev"))
    return msgspec.structs.replace(Request(owner=service(name, namespace)), **fields)


def naming(*pools: str, scope: Scope = Scope.OBJECT) -> Choice:
    return Choice(pools=pools, scope=scope, said="annotation buoy.dev/pool")


def claim(address: str, *owners: Owner, **fields: object) -> ServiceIP:
    given = ServiceIP(address=Address(address), pool="a", owners=owners)
    return msgspec.structs.replace(given, **fields)


def addresses(decision: Allocation | Refusal) -> list[str]:
    assert isinstance(decision, Allocation), str(decision)
    return [str(given.address) for given in decision.addresses]


def ways(decision: Allocation | Refusal) -> list[str]:
    assert isinstance(decision, Allocation), str(decision)
    return [f"{given.address} {given.pool} {given.way.value}" for given in decision.addresses]


def lacking(decision: Allocation | Refusal) -> list[str]:
    causes = decision.causes if isinstance(decision, Refusal) else decision.lacking
    return [str(cause) for cause in causes]


def carry_out(request: Request, ledger: Ledger, now: dt.datetime = NOW) -> list[str]:
    """Decide, write the claims, and return the addresses."""
    decision = allocate(request, ledger, now)
    assert isinstance(decision, Allocation), str(decision)
    for given in (*decision.addresses, *decision.externals):
        ledger.put(claimed(request, given, ledger.claim(given.address)))
    return addresses(decision)


def only(request: Request, *pools: Pool, claims: tuple[ServiceIP, ...] = ()) -> str:
    """Return the one thing that is lacking."""
    decision = allocate(request, Ledger(pools, claims), NOW)
    assert 1 == len(lacking(decision)), lacking(decision)
    return lacking(decision)[0]


def causes(decision: Allocation | Refusal) -> tuple[Cause, ...]:
    assert isinstance(decision, Refusal)
    return decision.causes
