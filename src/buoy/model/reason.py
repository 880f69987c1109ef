# SPDX-License-Identifier: Apache-2.0
"""Every lawful *no* of Buoy: a code, a sentence and a remedy.

The sentence and the remedy are format strings over the details given with the
reason, so that what `buoy why` prints names this address, this node, this peer.
"""

import enum
from collections.abc import Mapping

import msgspec

from buoy.model.wording import filled


class Reason(enum.StrEnum):
    """Why an address is withheld or refused; the value is stable and goes into documents and metrics."""

    UNKNOWN_ADDRESS = "unknown-address"
    UNKNOWN_IN_CLUSTER = "unknown-in-cluster"
    UNBOUND = "unbound"
    PORT_UNBOUND = "port-unbound"
    WORKLOAD_MISSING = "workload-missing"
    MODE_NOT_SERVED = "mode-not-served"
    NODE_WITHOUT_AGENT = "node-without-agent"
    OWNER_AWAY = "owner-away"
    RELEASED = "released"
    OTHER_NODE = "other-node"
    OTHER_DRIVER = "other-driver"
    ADMIN_DOWN = "admin-down"
    TAP_MISSING = "tap-missing"
    TAP_DOWN = "tap-down"
    FIXED_IP_LEFT = "fixed-ip-left"
    PAIR_OUTSIDE = "pair-outside"
    PAIR_OWNED = "pair-owned"
    CLAIMED_TWICE = "claimed-twice"
    REFUSED_BY_KERNEL = "refused-by-kernel"
    FOREIGN_ROUTE = "foreign-route"
    FOREIGN_RULE = "foreign-rule"
    NO_ROUTE = "no-route"
    NOT_VERIFIED = "not-verified"
    NOT_TOLD_YET = "not-told-yet"
    NO_ESTABLISHED_PEER = "no-established-peer"
    FILTERED_BY_EXPORT = "filtered-by-export"
    PROTOCOL_DISABLED = "protocol-disabled"
    BIRD_AWAY = "bird-away"
    HELD_BY_GUARD = "held-by-guard"
    OLD_NODE_NOT_CONFIRMED = "old-node-not-confirmed"
    BROKEN_DOCUMENT = "broken-document"
    OF_ANOTHER_VERSION = "of-another-version"
    NO_SERVICE = "no-service"
    CLAIM_LOST = "claim-lost"
    NOT_ADVERTISED = "not-advertised"
    COVERED_BY_AGGREGATE = "covered-by-aggregate"
    NODE_EXCLUDED = "node-excluded"
    NO_READY_ENDPOINT = "no-ready-endpoint"
    NO_LOCAL_ENDPOINT = "no-local-endpoint"
    NO_SERVICE_PROXY = "no-service-proxy"
    NOT_PROXIED_YET = "not-proxied-yet"
    SERVICE_PROXY_STUCK = "service-proxy-stuck"
    NOT_REGISTERED = "not-registered"

    @classmethod
    def _missing_(cls, value: object) -> "Reason | None":
        """Take a reason that only another version has for what it is: a status must not be unreadable for it."""
        return cls.OF_ANOTHER_VERSION if isinstance(value, str) else None

    @property
    def sentence(self) -> str:
        """What is the case, as a format string over the details."""
        return _TEXT[self][0]

    @property
    def remedy(self) -> str:
        """What to do about it, as a format string over the details."""
        return _TEXT[self][1]


_TEXT = {
    Reason.UNKNOWN_ADDRESS: (
        "{address} is in no document of the store",
        "check the address; a fixed IP is known once its port is on a node: `buoy show addresses`",
    ),
    Reason.UNKNOWN_IN_CLUSTER: (
        "no Service, Ingress or pod has {address}",
        "check the address: kubectl get services,ingresses -A, and kubectl get serviceips for what was given",
    ),
    Reason.UNBOUND: (
        "{address} is bound to no workload",
        "associate it: openstack floating ip set --port PORT {address}",
    ),
    Reason.RELEASED: (
        "nobody has {address} now; {owner} had it last",
        "nothing is to be done: it is kept until the hold-down of its pool is over",
    ),
    Reason.OWNER_AWAY: (
        "{address} belongs to {owner}, of which nothing runs that it could lead to",
        "nothing is to be done if that is meant; else: kubectl get pods -o wide -n {namespace}",
    ),
    Reason.PORT_UNBOUND: (
        "{address} belongs to port {workload}, which is on no node",
        "start the VM that has the port",
    ),
    Reason.WORKLOAD_MISSING: (
        "{address} leads to port {workload} on {node}, of which the store knows nothing",
        "is the port bound there? The next full comparison of Neutron and store writes what is missing",
    ),
    Reason.MODE_NOT_SERVED: (
        "{address} is a {mode} service IP, which this version does not serve",
        "make it translated",
    ),
    Reason.PAIR_OUTSIDE: (
        "{address} is an allowed address pair of port {workload}, but in none of its subnets",
        "take an address of its subnets; the guest may send from {address}, but nothing is routed to it",
    ),
    Reason.PAIR_OWNED: (
        "{address}, an allowed address pair of port {workload} on {node}, goes to port {owner}, whose fixed IP it is",
        "take the pair from {workload}; or, if guests are to share {address}, give it to a port that is on no node",
    ),
    Reason.NODE_WITHOUT_AGENT: (
        "{node} has no living buoy agent",
        "on {node}: systemctl status buoy-agent, in a cluster kubectl -n buoy-system get pods -o wide; buoy doctor",
    ),
    Reason.OTHER_NODE: ("the workload is on {node}", "ask on {node}"),
    Reason.OTHER_DRIVER: (
        "port {workload} is bound by another driver, not by Buoy",
        "bind the port to a host that runs buoy agent",
    ),
    Reason.ADMIN_DOWN: (
        "port {workload} is administratively down",
        "openstack port set --enable {workload}",
    ),
    Reason.TAP_MISSING: (
        "{interface} does not exist on {node}",
        "start the VM; `ip link show {interface}` on {node}",
    ),
    Reason.TAP_DOWN: ("{interface} on {node} is down", "ip link set {interface} up; is the VM running?"),
    Reason.FIXED_IP_LEFT: (
        "port {workload} no longer has the fixed IP {target} that {address} points at",
        "give the port {target} again, or associate {address} anew",
    ),
    Reason.CLAIMED_TWICE: (
        "{address} is also claimed by {other}, which was there first",
        "take {address} from one of the two",
    ),
    Reason.REFUSED_BY_KERNEL: ("the kernel of {node} refused: {error}", "buoy doctor on {node}"),
    Reason.FOREIGN_ROUTE: (
        "the kernel of {node} takes somebody else's route to {address}: {route}",
        "find out who made it, and on {node}: ip route del {route}",
    ),
    Reason.FOREIGN_RULE: (
        "a rule of somebody else on {node} leads packets to {address} past table main: {rule}",
        "find out who made it, and on {node}: ip -{version} rule del {rule}",
    ),
    Reason.NO_ROUTE: (
        "{node} has no route to {workload} at {target} that leads there",
        "on {node}: ip route get {target}; is its interface up, and does the network plugin run there?",
    ),
    Reason.NOT_VERIFIED: (
        "what {address} needs on {node} was not seen there: {missing}",
        "buoy audit on {node} shows what differs; the agent repairs it within a second",
    ),
    Reason.NOT_TOLD_YET: (
        "{node} has just announced {address}, and no peer was told yet",
        "ask again in a second; if it stays, on {node}: birdc -s /run/buoy/bird.ctl show route for {address}",
    ),
    Reason.NO_ESTABLISHED_PEER: (
        "{node} has no established BGP session with any of its peers",
        "on {node}: birdc -s /run/buoy/bird.ctl show protocols; `buoy peer list`",
    ),
    Reason.FILTERED_BY_EXPORT: (
        "the export filter of {node} keeps {address} from {peers}",
        "on {node}: birdc -s /run/buoy/bird.ctl show route for {address} noexport {peer}; `buoy show filters`",
    ),
    Reason.PROTOCOL_DISABLED: (
        "BIRD on {node} does not learn {address}, for its protocol {protocol} was disabled",
        "somebody did that; on {node}: birdc -s /run/buoy/bird.ctl enable {protocol}",
    ),
    Reason.BIRD_AWAY: ("BIRD on {node} does not answer on its control socket", "start BIRD on {node}"),
    Reason.HELD_BY_GUARD: (
        "removal is held: {cause}",
        "look at `buoy plan`; if it is right: buoy agent release-guard on {node}",
    ),
    Reason.OLD_NODE_NOT_CONFIRMED: (
        "{node} has not confirmed that it withdrew {address}",
        "bring {node} back, or tell Buoy it is off: buoy node fence {node}",
    ),
    Reason.BROKEN_DOCUMENT: (
        "the document {path} cannot be read: {error}",
        "rewrite it; the last readable version stays in force",
    ),
    Reason.OF_ANOTHER_VERSION: (
        "the agent of {node} runs another version and has a reason that this one does not know",
        "ask on {node}, where its own version answers: buoy why {address}",
    ),
    Reason.NO_SERVICE: (
        "no Service has {address} now",
        "nothing is to be done: it is kept until the hold-down of its pool is over",
    ),
    Reason.CLAIM_LOST: (
        "a store that was set back had lost that {owner} has {address}; it is kept for it",
        "make {owner} anew, and it has {address} back; or give it up: buoy service-ip release {address}",
    ),
    Reason.NOT_ADVERTISED: (
        "{address} is a {kind} IP of {service}, and no prefix that is advertised contains it",
        "put its prefix into BGPConfiguration or a Pool: kubectl get bgpconfigurations,pools",
    ),
    Reason.COVERED_BY_AGGREGATE: (
        "{address} of {service} is reached by {prefix}, which is announced as a whole",
        "nothing is to be done; with externalTrafficPolicy Local it has a route of its own",
    ),
    Reason.NODE_EXCLUDED: (
        "{node} attracts no traffic for Services: {cause}",
        "if that is not meant: kubectl describe node {node}",
    ),
    Reason.NO_READY_ENDPOINT: (
        "{service} has no endpoint that is ready",
        "kubectl get endpointslices,pods -o wide -n {namespace}",
    ),
    Reason.NO_LOCAL_ENDPOINT: (
        "{service} has no ready endpoint on {node}, and its traffic policy is Local",
        "nothing is to be done on {node}; it is announced from {nodes}",
    ),
    Reason.NO_SERVICE_PROXY: (
        "no kube-proxy was seen on {node} that would forward {address}",
        "on {node}: nft list tables (ip is IPv4, ip6 IPv6); is kube-proxy running, in mode nftables or iptables?",
    ),
    Reason.NOT_PROXIED_YET: (
        "kube-proxy on {node} does not forward {missing} of {address} ({service})",
        "on {node}: nft get element ip kube-proxy service-ips; kubectl get endpointslices -n {namespace}",
    ),
    Reason.SERVICE_PROXY_STUCK: (
        "kube-proxy on {node} {cause}: what it does with {address} ({service}) may be outdated",
        "on {node}: curl -m 2 http://127.0.0.1:10256/livez; restart kube-proxy. What is announced there stays",
    ),
    Reason.NOT_REGISTERED: (
        "Neutron keeps the books of pool {pool}, and no port there keeps {address} for this cluster",
        "kubectl get pool {pool} tells why; openstack port list --fixed-ip ip-address={address} tells who has it",
    ),
}


class Withhold(msgspec.Struct, frozen=True):
    """An address that is not announced here, and why; the other half of `Placement`."""

    reason: Reason
    details: Mapping[str, str] = {}

    def __str__(self) -> str:
        return filled(self.reason.sentence, self.details)

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return filled(self.reason.remedy, self.details)
