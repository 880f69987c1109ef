# SPDX-License-Identifier: Apache-2.0
"""The two stories of the demo: a service IP as an additional fixed IP, and a floating IP.

The commands are those of Calico's documents on service IPs and floating IPs for
OpenStack; `nova` is played by `buoy lab vm`, openly.
"""

import json
import re

from buoy.lab.play import Player, column

SERVICE_IP, SERVICE_SUBNET = "10.28.0.23", "10.28.0.0/16"


def _dots(address: str) -> str:
    return re.escape(address)


def _port(player: Player, guest: str) -> tuple[str, str, str, str]:
    """Return a guest's port id, IPv4 address, that address's subnet id, and its node's address."""
    guests = {one["name"]: one for one in player.lab.status()["guests"]}
    nodes = {one["name"]: one["address4"].partition("/")[0] for one in player.lab.status()["nodes"]}
    port = guests[guest]["port"]
    shown = json.loads(player.quiet(f"openstack port show -f json {port}"))
    [fixed] = [one for one in shown["fixed_ips"] if ":" not in one["ip_address"]][:1]
    return port, fixed["ip_address"], fixed["subnet_id"], nodes[guests[guest]["node"]]


def prepare(player: Player) -> None:
    """Make the network and the security rules that the documents assume."""
    player.say("A tenant network with IPv4 and IPv6, and a rule that lets our machine (192.168.8.1) in.")
    player.run("openstack network create --share demo-net -c id -c name -c status")
    player.run(f"openstack subnet create demo-v4 --network demo-net --subnet-range {SERVICE_SUBNET} -c id -c cidr")
    player.run(
        "openstack subnet create demo-v6 --network demo-net --ip-version 6 --ipv6-ra-mode dhcpv6-stateful "
        "--ipv6-address-mode dhcpv6-stateful --subnet-range fd5f:5d21:845:1c2e:2::/80 -c id -c cidr"
    )
    for rule in ("--protocol tcp --dst-port 22", "--protocol tcp --dst-port 80", "--protocol icmp"):
        player.quiet(f"openstack security group rule create default {rule} --remote-ip 192.168.8.1/32")
    player.run("neutron security-group-list")


def service_ip(player: Player) -> None:
    """Add a service IP to a port, reach it, move it to another VM."""
    name = player.lab.name
    player.say("Service IP as an additional fixed IP. First a test VM (nova boot).")
    player.buoy(f"lab vm boot testvm1 --network demo-net --host compute-1 --name {name}")
    player.buoy(f"lab vm list --name {name}")
    player.run("neutron port-list")
    port, address, subnet, node = _port(player, "testvm1")
    fixed = f"--fixed-ip subnet_id={subnet},ip_address={address}"
    service = f"--fixed-ip subnet_id={subnet},ip_address={SERVICE_IP}"
    player.say(f"Add {SERVICE_IP} to testvm1's port.")
    player.run(f"neutron port-update {fixed} {service} {port}")
    player.expect(
        f"neutron port-show {port}",
        rf"(?s){_dots(SERVICE_IP)}.*status\s+\| ACTIVE",
        f"the port has {SERVICE_IP} and is ACTIVE",
    )
    player.expect(
        "ip r", rf"^{_dots(SERVICE_IP)} via {node} dev eth0 proto bird", f"{SERVICE_IP} is routed to testvm1's node"
    )
    player.expect(
        f"ssh core@{node} ip r",
        rf"^{_dots(SERVICE_IP)} dev tap{port[:11]} .*scope link",
        "on that node, to testvm1's tap",
    )
    _tell_guest(player, address)
    player.expect(f"ssh cirros@{SERVICE_IP} hostname", "^testvm1$", f"{SERVICE_IP} is testvm1")
    player.expect(f"curl -s http://{SERVICE_IP}/", "^testvm1$", "and answers HTTP")
    _move(player, (port, fixed), service.removeprefix("--fixed-ip "))


def _tell_guest(player: Player, address: str) -> None:
    player.say(f"The guest must know that it has {SERVICE_IP}: no NAT is involved.")
    player.run(f"ssh cirros@{address} 'sudo ip a a {SERVICE_IP}/16 dev eth0; ip a'")


def _move(player: Player, old: tuple[str, str], service: str) -> None:
    name = player.lab.name
    player.say("Move the service IP to a second VM, on another node.")
    player.buoy(f"lab vm boot testvm2 --network demo-net --host compute-2 --name {name}")
    port, address, subnet, node = _port(player, "testvm2")
    player.run(f"neutron port-update {old[1]} {old[0]}")
    player.run(f"neutron port-update --fixed-ip subnet_id={subnet},ip_address={address} --fixed-ip {service} {port}")
    _tell_guest(player, address)
    player.expect(
        "ip r", rf"^{_dots(SERVICE_IP)} via {node} dev eth0 proto bird", f"{SERVICE_IP} is routed to testvm2's node"
    )
    player.expect(f"ssh cirros@{SERVICE_IP} hostname", "^testvm2$", f"{SERVICE_IP} is testvm2")
    player.expect_not(
        "ssh core@192.168.8.3 ip r", rf"^{_dots(SERVICE_IP)} dev", "nothing of it is left on the old node"
    )


def floating_ip(player: Player) -> None:
    """Make network, router and floating IP as the document does, associate, disassociate."""
    player.say("Floating IPs, under plain ML2.")
    player.run("neutron net-create --shared calico")
    made = player.run(
        "neutron subnet-create --gateway 10.65.0.1 --enable-dhcp --ip-version 4 --name calico-v4 calico 10.65.0.0/24"
    )
    subnet = column(made, "subnet-create", "id")
    player.buoy(f"lab vm boot testvm3 --network calico --host compute-1 --name {player.lab.name}")
    port, address, _, node = _port(player, "testvm3")
    player.say("The external network, and a router that connects the two.")
    player.run("neutron net-create public --router:external True")
    player.run("neutron subnet-create public 172.16.1.0/24")
    player.run("neutron router-create router1")
    player.run(f"neutron router-interface-add router1 {subnet}")
    player.run("neutron router-gateway-set router1 public")
    created = player.run("neutron floatingip-create public")
    floating, public = column(created, "create", "id"), column(created, "create", "floating_ip_address")
    player.run(f"neutron floatingip-associate {floating} {port}")
    _reached(player, (public, address), (port, node))
    player.say("Disassociate: nothing stays.")
    player.run(f"neutron floatingip-disassociate {floating}")
    player.expect_not("ip r", rf"^{_dots(public)} via", f"{public} is no longer routed")
    player.expect_not(f"ssh core@{node} sudo nft list map inet buoy fip4", _dots(public), "and no longer translated")


def _reached(player: Player, addresses: tuple[str, str], where: tuple[str, str]) -> None:
    (public, address), (port, node) = addresses, where
    player.expect(
        f"ssh core@{node} ip r", rf"^{_dots(public)} dev tap{port[:11]} .*scope link", f"{public} is on testvm3's node"
    )
    player.expect(
        f"ssh core@{node} sudo nft list map inet buoy fip4",
        f"{_dots(public)} : {_dots(address)}",
        f"and translated to {address}",
    )
    player.expect("ip r", rf"^{_dots(public)} via {node} dev eth0 proto bird", "and announced to our router")
    player.expect(f"curl -s http://{public}/", "^testvm3$", f"{public} answers: it is testvm3")
    player.expect(f"openstack floating ip show {public} -c status -c fixed_ip_address", "ACTIVE", "Neutron says so too")
    player.run(f"buoy why {public}", on="compute-1")
