# SPDX-License-Identifier: Apache-2.0
"""What every guest has, be it a namespace or a QEMU: a DHCP client's settings, and a page that says who asked.

The client answers router advertisements too; its SLAAC address is made of the
MAC, as Neutron expects it.
"""

DHCPCD = """hostname
clientid
noarp
nodelay
noipv4ll
ipv6rs
slaac hwaddr
option domain_name_servers, domain_name, domain_search, host_name, interface_mtu, classless_static_routes, ntp_servers
option dhcp6_name_servers, dhcp6_domain_search
"""
WHO = """#!/bin/sh
client=${REMOTE_ADDR#[}; client=${client%]}
printf 'Content-Type: text/plain\\r\\n\\r\\n%s\\n' "${client#::ffff:}"
"""
