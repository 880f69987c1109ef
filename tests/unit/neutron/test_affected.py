# SPDX-License-Identifier: Apache-2.0
"""Whose documents a port's fixed IP stands in: found among thousands of allowed address pairs, and beside odd ones."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from neutron.db.models.allowed_address_pair import AllowedAddressPair
from neutron.db.models.securitygroup import SecurityGroupPortBinding
from neutron.db.models_v2 import IPAllocation, Port
from neutron.plugins.ml2.models import PortBinding

from buoy.neutron import affected, database

STRANGERS = 300


@pytest.fixture
def read() -> list[tuple[object, ...]]:
    """What the database was made to hand out."""
    return []


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """An empty database of Neutron's."""
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'neutron.sqlite'}"
    database.prepare(url)
    made = sa.create_engine(url)
    yield made
    made.dispose()


@pytest.fixture
def connection(engine: sa.Engine, read: list[tuple[object, ...]]) -> Iterator[sa.Connection]:
    """A transaction that is never committed."""

    def noted(_: object, row: tuple[object, ...]) -> tuple[object, ...]:
        read.append(row)
        return row

    with engine.connect() as made:
        driver = made.connection.driver_connection
        assert driver is not None
        driver.row_factory = noted
        yield made
        driver.row_factory = None


def port(connection: sa.Connection, name: str, fixed: str = "", pairs: tuple[str, ...] = ()) -> None:
    """Make a port of one network, bound to a host of its own."""
    row = {"id": name, "network_id": "net", "mac_address": name, "admin_state_up": True, "status": "DOWN"}
    row |= {"device_id": "", "device_owner": "", "standard_attr_id": len(name) * 1000 + ord(name[0])}
    connection.execute(sa.insert(Port.__table__), row)
    binding = {"port_id": name, "host": f"on-{name}", "vif_type": "tap", "vnic_type": "normal", "status": "ACTIVE"}
    connection.execute(sa.insert(PortBinding.__table__), {**binding, "profile": "", "vif_details": ""})
    if fixed:
        allocation = {"port_id": name, "ip_address": fixed, "subnet_id": "subnet", "network_id": "net"}
        connection.execute(sa.insert(IPAllocation.__table__), allocation)
    for text in pairs:
        connection.execute(
            sa.insert(AllowedAddressPair.__table__), {"port_id": name, "mac_address": "", "ip_address": text}
        )


def rivals(connection: sa.Connection, name: str) -> set[str]:
    """Return the ports whose workloads a change of this one touches."""
    return {path.rpartition("/")[2] for path in affected.paths(connection, {"port": [name]})} - {name}


@pytest.mark.parametrize(
    ("fixed", "spellings"),
    [
        ("192.0.2.5", ("192.0.2.5", "192.0.2.5/32")),
        ("2001:db8::5", ("2001:db8::5", "2001:DB8:0::5/128", "2001:0db8::0005")),
    ],
)
def test_pairs_are_found_in_every_spelling_that_neutron_takes(
    connection: sa.Connection, fixed: str, spellings: tuple[str, ...]
) -> None:
    port(connection, "a", fixed, ("192.0.2.9", "2001:db8::9"))
    for name, spelling in zip("bcd", spellings, strict=False):
        port(connection, name, pairs=(spelling, "198.51.100.0/24"))
    port(connection, "z", pairs=("192.0.2.50", "192.0.2.5/31", "2001:db8::5/127"))
    assert set("bcd"[: len(spellings)]) == rivals(connection, "a")


def test_pairs_of_others_are_not_even_read(connection: sa.Connection, read: list[tuple[object, ...]]) -> None:
    port(connection, "a", "192.0.2.5")
    port(
        connection,
        "b",
        pairs=("192.0.2.5", *(f"198.51.100.{number % 256}/{32 - number // 256}" for number in range(STRANGERS))),
    )
    assert {"b"} == rivals(connection, "a")
    assert [] == [row for row in read if "198.51.100." in str(row)]


@pytest.mark.parametrize(("fixed", "odd"), [("192.0.2.5", "192.0.2.05"), ("2001:db8::5", "2001:db8::5/129")])
def test_a_pair_that_nobody_can_read_hinders_no_other(connection: sa.Connection, fixed: str, odd: str) -> None:
    port(connection, "a", fixed)
    port(connection, "b", pairs=(odd, fixed))
    assert {"b"} == rivals(connection, "a")
    connection.execute(sa.insert(SecurityGroupPortBinding.__table__), {"port_id": "b", "security_group_id": "g"})
    length = 128 if ":" in fixed else 32
    assert {"workloads/on-b/b", f"members/g/{fixed}/{length}"} == affected.paths(connection, {"port": ["b"]})
