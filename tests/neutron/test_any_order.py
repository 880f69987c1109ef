# SPDX-License-Identifier: Apache-2.0
"""After any changes in any order, and nothing else, database and store agree: the outbox misses nothing."""

import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.neutron.cloud import Cloud, Refusal
from tests.neutron.story import Tenant

ROUNDS, CHANGES = 4, 20


class Chaos:
    """Makes random changes through the API; what Neutron refuses is no change."""

    def __init__(self, cloud: Cloud, seed: int) -> None:
        self.cloud = cloud
        self.random = random.Random(seed)
        self.tenants = [Tenant(cloud, 63), Tenant(cloud, 64)]
        self.groups = [cloud.create("security_group", name=f"g{number}")["id"] for number in range(2)]

    def change(self) -> None:
        """Make one change."""
        changes: list[Callable[[], object]] = [
            self.make_port,
            self.make_port,
            self.change_port,
            self.change_port,
            self.delete_port,
            self.make_floating_ip,
            self.associate,
            self.associate,
            self.delete_floating_ip,
            self.forward,
            self.tag,
            self.change_rules,
            self.change_router,
            self.change_subnet,
            self.change_network,
        ]
        with contextlib.suppress(Refusal):
            self.random.choice(changes)()

    def one(self, collection: str) -> dict[str, Any]:
        """Return one existing resource."""
        found = [one for one in self.cloud.call("GET", collection)[collection] if self._is_free(one)]
        if not found:
            raise Refusal(404, f"no {collection} yet")
        return dict(self.random.choice(found))

    @staticmethod
    def _is_free(resource: dict[str, Any]) -> bool:
        return not str(resource.get("device_owner", "")).startswith("network:")

    def make_port(self) -> object:
        host = self.random.choice(["", "compute-1", "compute-2"])
        return self.random.choice(self.tenants).port(host, security_groups=[self.random.choice(self.groups)])

    def change_port(self) -> object:
        port, tenant = self.one("ports"), self.random.choice(self.tenants)
        changes: list[dict[str, Any]] = [
            {"fixed_ips": [*port["fixed_ips"], {"subnet_id": tenant.subnet["id"]}]},
            {"fixed_ips": port["fixed_ips"][1:]},
            {"security_groups": self.random.sample(self.groups, self.random.randint(0, 2))},
            {"allowed_address_pairs": [{"ip_address": f"10.9.{self.random.randint(0, 2)}.0/24"}]},
            {"allowed_address_pairs": [{"ip_address": f["ip_address"]} for f in self.one("ports")["fixed_ips"]]},
            {"allowed_address_pairs": []},
            {"binding:host_id": self.random.choice(["compute-1", "compute-2", ""])},
            {"admin_state_up": self.random.random() < 0.5},
            {"mac_address": f"fa:16:3e:00:00:{self.random.randint(16, 99)}"},
            {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}]},
        ]
        return self.cloud.update("port", port["id"], **self.random.choice(changes))

    def delete_port(self) -> None:
        self.cloud.delete("port", self.one("ports")["id"])

    def make_floating_ip(self) -> object:
        return self.random.choice(self.tenants).floating_ip()

    def associate(self) -> object:
        port = self.random.choice([None, self.one("ports")])
        fixed = port["fixed_ips"] if port else []
        body: dict[str, Any] = {"port_id": port["id"] if port else None}
        if fixed:
            body["fixed_ip_address"] = self.random.choice(fixed)["ip_address"]
        return self.cloud.update("floatingip", self.one("floatingips")["id"], **body)

    def delete_floating_ip(self) -> None:
        self.cloud.delete("floatingip", self.one("floatingips")["id"])

    def forward(self) -> object:
        at = f"floatingips/{self.one('floatingips')['id']}/port_forwardings"
        existing = self.cloud.call("GET", at)["port_forwardings"]
        if existing and self.random.random() < 0.5:
            return self.cloud.call("DELETE", f"{at}/{existing[0]['id']}")
        port, number = self.one("ports"), self.random.randint(1, 60000)
        if not port["fixed_ips"]:
            return None
        body = {
            "internal_port_id": port["id"],
            "internal_ip_address": port["fixed_ips"][0]["ip_address"],
            "protocol": "tcp",
            "external_port": number,
            "internal_port": number,
        }
        return self.cloud.call("POST", at, {"port_forwarding": body})

    def tag(self) -> object:
        collection = self.random.choice(["floatingips", "subnets", "networks"])
        words = self.random.choice([[], ["buoy:direction=ingress"], ["buoy:direction=egress", "mine"]])
        return self.cloud.call("PUT", f"{collection}/{self.one(collection)['id']}/tags", {"tags": words})

    def change_rules(self) -> object:
        group = self.random.choice(self.groups)
        rules = self.cloud.call("GET", f"security-group-rules?security_group_id={group}")["security_group_rules"]
        if rules and self.random.random() < 0.5:
            self.cloud.delete("security_group_rule", self.random.choice(rules)["id"])
            return None
        rule = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
        return self.cloud.create(
            "security_group_rule", security_group_id=group, remote_group_id=self.random.choice(self.groups), **rule
        )

    def change_router(self) -> None:
        tenant = self.random.choice(self.tenants)
        at = f"routers/{tenant.router['id']}/remove_router_interface"
        with contextlib.suppress(Refusal):
            self.cloud.update("router", tenant.router["id"], external_gateway_info={})
        with contextlib.suppress(Refusal):
            self.cloud.call("PUT", at, {"subnet_id": tenant.subnet["id"]})
        if self.random.random() < 0.8:
            tenant.connect()

    def change_subnet(self) -> object:
        changes: list[dict[str, Any]] = [
            {"dns_nameservers": [f"192.0.2.{self.random.randint(1, 9)}"]},
            {"host_routes": [{"destination": "198.51.100.0/24", "nexthop": "10.63.0.9"}]},
            {"name": f"s{self.random.randint(0, 9)}"},
            {"enable_dhcp": self.random.random() < 0.5},
        ]
        return self.cloud.update("subnet", self.one("subnets")["id"], **self.random.choice(changes))

    def change_network(self) -> object:
        changes: list[dict[str, Any]] = [
            {"mtu": self.random.randint(1280, 1500)},
            {"admin_state_up": self.random.random() < 0.5},
            {"dns_domain": f"d{self.random.randint(0, 9)}.example."},
        ]
        return self.cloud.update("network", self.one("networks")["id"], **self.random.choice(changes))


@pytest.mark.parametrize("seed", [1])
def test_database_and_store_agree(cloud: Cloud, seed: int) -> None:
    chaos = Chaos(cloud, seed)
    for _ in range(ROUNDS):
        for _ in range(CHANGES):
            chaos.change()
        # two looks half a second apart: what is merely on its way at the first has arrived at the second
        code, printed = cloud.compare()
        assert (0, "0 missing, 0 stale, 0 orphan") == (code, printed.rpartition(" of ")[0]), printed
    assert [] == [line for line in cloud.log().splitlines() if " ERROR buoy" in line]
    assert [] == [line for line in cloud.log().splitlines() if "HTTPInternalServerError" in line]
