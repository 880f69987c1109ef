# SPDX-License-Identifier: Apache-2.0
"""The resources of the two documents' stories, made through the API."""

from typing import Any

from tests.neutron.cloud import Cloud


class Tenant:
    """A network with one subnet, an external network with one, and a router between them."""

    def __init__(self, cloud: Cloud, number: int, **network: object) -> None:
        self.cloud = cloud
        self.network = cloud.create("network", name=f"calico-{number}", **network)
        self.subnet = cloud.create(
            "subnet", network_id=self.network["id"], cidr=f"10.{number}.0.0/24", ip_version=4, name=f"v4-{number}"
        )
        self.public = cloud.create("network", name=f"public-{number}", **{"router:external": True})
        self.pool = cloud.create(
            "subnet", network_id=self.public["id"], cidr=f"172.16.{number}.0/24", ip_version=4, enable_dhcp=False
        )
        self.router = cloud.create("router", name=f"router-{number}")
        self.connect()

    def connect(self) -> None:
        """Connect the subnet and the external network."""
        at = f"routers/{self.router['id']}/add_router_interface"
        self.cloud.call("PUT", at, {"subnet_id": self.subnet["id"]})
        self.cloud.update("router", self.router["id"], external_gateway_info={"network_id": self.public["id"]})

    def port(self, host: str = "compute-1", **attributes: object) -> dict[str, Any]:
        """Create a port as Nova does, bound to a host unless that is empty."""
        binding = {"binding:host_id": host, "device_owner": "compute:nova"} if host else {}
        return self.cloud.create("port", network_id=self.network["id"], **binding, **attributes)

    def floating_ip(self, **attributes: object) -> dict[str, Any]:
        """Create a floating IP."""
        return self.cloud.create("floatingip", floating_network_id=self.public["id"], **attributes)
