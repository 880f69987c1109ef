# SPDX-License-Identifier: Apache-2.0
"""The static part of table `inet buoy`: sets, and what each chain says, line by line.

Promises: a tap that is in no map passes nothing in either direction; guests
reach nothing on the node but DHCP, neighbour discovery and metadata; a rule or a
member that goes ends its flows at once. Three things are tricky. Link-local
addresses need no entry of their own, since nothing but this node is on a tap's
link, but they may speak only what the node itself answers. DHCP has no rule: the
responder hears and speaks frames, which these hooks never see, and any other
server on the node is none of a guest's business. And packets in a flow's first
direction are judged one by one, only its replies pass because it is known: a
flow cut by deleting its tracking would be taken up again in the middle, by
whichever side may open flows.

And whoever asks for an address makes the kernel remember the asker: all guests and
the node's own links share one neighbour table of a thousand. So of each tap only some
*new* askers are heard, by ARP as by neighbour discovery; known ones as often as they like.

What comes for an announced Service and was translated by nobody would go back to whoever
sent it, and come again: it is dropped where it is forwarded, after every service proxy has
had its say (kube-proxy rejects at 0 and before).
"""

from buoy.model.ownership import ARP_MARK, TAP_PREFIX


def _both(rules: tuple[str, ...]) -> tuple[str, ...]:
    """Return IPv4 rules each followed by its IPv6 twin."""
    return tuple(text for rule in rules for text in (rule, _six(rule)))


def _six(rule: str) -> str:
    words = {"ip": "ip6", "ipv4_addr": "ipv6_addr"}
    swapped = (words.get(word, word) for word in rule.split(" "))
    return " ".join(word[:-1] + "6" if word.startswith("@") and word.endswith("4") else word for word in swapped)


_PAIRS = (
    ("map", "fip", "type {a} : {a}"),
    ("map", "mapped", "type {a} . inet_proto . inet_service : {a} . inet_service"),
    ("map", "egress", "type {a} : {a}"),
    ("set", "internal", "type {a}; flags interval"),
    ("set", "relay", "type {a} . {a}"),
    ("set", "stray", "type {a}"),
    ("set", "straynet", "type {a}; flags interval"),
    ("set", "source", "type ifname . ether_addr . {a}"),
    ("set", "sourcenet", "type ifname . ether_addr . {a}; flags interval"),
)

SETS = (
    *(
        (kind, f"{name}{version}", spec.format(a=f"ipv{version}_addr"))
        for version in (4, 6)
        for kind, name, spec in _PAIRS
    ),
    ("map", "to_guest", "type ifname : verdict"),
    ("map", "from_guest", "type ifname : verdict"),
    ("set", "sourcemac", "type ifname . ether_addr"),
    ("set", "itself", "type ifname . ifname"),
    ("set", "open", "type ifname"),
    ("set", "foreign", "type ifname"),
)
"""Kind, name and specification of every static set and map."""

_REMEMBERED = "flags dynamic,timeout; timeout 2s; size 65536"
COUNTED = (
    ("set", "senders6", f"type ifname . ipv6_addr; {_REMEMBERED}"),
    ("set", "newcomers", f"type ifname; {_REMEMBERED}"),
)
"""The same for sets that packets fill by themselves: who asked for an address lately, and how many new askers came.

Both are forgotten within two seconds, as everything of a guest that is deleted has to be.
"""


def _few_new(asking: str, sender: str, known: str) -> tuple[str, str]:
    """Return rules that drop what asks in the name of too many senders: ten at once, then five more each second."""
    new = f"{asking} iifname . {sender} != @{known}"
    return (
        f"{new} update @newcomers {{ iifname limit rate over 5/second burst 10 packets }} drop",
        f"{asking} update @{known} {{ iifname . {sender} }}",
    )


_NOT_OURS = (f'{{}}ifname != "{TAP_PREFIX}*" accept', "{}ifname @foreign accept")
_DISCOVERY = "nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert"
_MLD = "mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report"

_FROM_GUEST = (
    *(rule.format("i") for rule in _NOT_OURS),
    *_few_new("icmpv6 type { nd-router-solicit, nd-neighbor-solicit }", "ip6 saddr", "senders6"),
    "ip daddr 127.0.0.0/8 drop",
    "iifname @open accept",
    "iifname . ether saddr != @sourcemac drop",
    f"ip6 saddr :: icmpv6 type {{ {_DISCOVERY}, {_MLD} }} accept",
    "ip6 saddr fe80::/10 goto link_local",
    *_both(("iifname . ether saddr . ip saddr @source4 goto true_source",)),
    *_both(("iifname . ether saddr . ip saddr @sourcenet4 goto true_source",)),
    "drop",
)
_LINK_LOCAL = (
    f"icmpv6 type {{ {_DISCOVERY}, {_MLD} }} accept",
    "drop",
)
_KNOWN = ("ct direction reply ct state established accept", "ct state related accept")
# conntrack calls invalid every ICMP message that is no request and answers none, and every UDP-Lite packet,
# whose sums it checks as if they were UDP's (Linux 6.18): about these, 1, 58 and 136, rules have the only word
_INVALID = "meta l4proto != { 1, 58, 136 } ct state invalid drop"
_TRUE_SOURCE = (
    *_KNOWN,
    _INVALID,
    f"ip6 daddr {{ fe80::/10, ff02::/16 }} icmpv6 type {{ {_DISCOVERY}, {_MLD} }} accept",
    f"icmpv6 type {{ {_DISCOVERY} }} fib daddr type local accept",
    "ip daddr 169.254.169.254 tcp dport 80 accept",
    "iifname vmap @from_guest",
    "drop",
)
_TO_HOST = (
    *(rule.format("i") for rule in _NOT_OURS),
    *_KNOWN,
    "ct original ip daddr 169.254.169.254 ip daddr 127.0.0.1 tcp dport METADATA accept",
    f"icmpv6 type {{ {_DISCOVERY}, {_MLD} }} accept",
    "drop",
)
_METADATA = (
    f'iifname "{TAP_PREFIX}*" iifname != @foreign ip daddr 169.254.169.254 tcp dport 80 dnat ip to 127.0.0.1:METADATA'
)
_DNAT = _both(
    (
        "dnat ip to ip daddr . meta l4proto . th dport map @mapped4",
        "dnat ip to ip daddr map @fip4",
    )
)
_SNAT = _both(
    (
        "ct status dnat ct original ip daddr . ip daddr @relay4 snat ip to ct original ip daddr",
        "ct status dnat iifname . oifname @itself snat ip to ct original ip daddr",
        "ct status dnat ct original ip daddr != @internal4 snat ip to ip saddr map @egress4",
        "ip daddr @internal4 accept",
        "snat ip to ip saddr map @egress4",
    )
)
# the longest prefix of such an address may be another node's: only what would go back where it came from is astray
_STRAY = _both(
    tuple(f"ip daddr @{name} fib daddr . iif oif exists drop" for name in ("stray4", "straynet4")),
)
_TO_GUEST = (
    *(rule.format("o") for rule in _NOT_OURS),
    "oifname @open accept",
    *_KNOWN,
    _INVALID,
    "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept",
    "oifname vmap @to_guest",
    "drop",
)

CHAINS = {
    "prerouting_policy": ("type filter hook prerouting priority -150; policy accept;", _FROM_GUEST),
    "link_local": ("", _LINK_LOCAL),
    "true_source": ("", _TRUE_SOURCE),
    "prerouting_nat": (
        "type nat hook prerouting priority -100; policy accept;",
        (
            _METADATA,
            *_DNAT,
        ),
    ),
    "output_nat": ("type nat hook output priority -100; policy accept;", _DNAT),
    "input_policy": ("type filter hook input priority 0; policy accept;", _TO_HOST),
    "forward_stray": ("type filter hook forward priority 10; policy accept;", _STRAY),
    # before whoever masquerades what leaves the node at 100: the first to give a flow its source decides
    "postrouting_nat": ("type nat hook postrouting priority 99; policy accept;", _SNAT),
    "postrouting_policy": ("type filter hook postrouting priority 110; policy accept;", _TO_GUEST),
}
"""Each static chain: its hook (empty: it is jumped to) and its rules.

The policy is said, though it is nft's own: else a chain that another's hand made drop would stay so.
"""

MOVED = ("postrouting_nat",)
"""Base chains that had another priority in an earlier version."""

ARP_CHAIN = "type filter hook input priority 0; policy accept;"
ARP_ANSWERED = f"meta mark set {ARP_MARK:#x}"
ARP_SETS = (("set", "senders", f"type ifname . ipv4_addr; {_REMEMBERED}"), COUNTED[1])
ARP_RULES = (
    *_few_new(f'iifname "{TAP_PREFIX}*" arp operation request', "arp saddr ip", "senders"),
    f'iifname "{TAP_PREFIX}*" {ARP_ANSWERED}',
)
"""Sets and rules of table `arp buoy`."""
