# SPDX-License-Identifier: Apache-2.0
"""The nft table as text: static chains, and the chains of groups and combinations.

Promises: every function returns text for one `nft -f` transaction that can be
loaded over what is there; elements of sets and maps are never touched by it.
The tricky thing is the order of hooks: policy at -150 and 110 stands outside
NAT at -100 and 99, so that rules see packets as the guest sends and receives
them. Source: docs/design.md, nft(8).
"""

from collections.abc import Iterable

from buoy.model.group import Rule, Side
from buoy.model.ownership import NFT_FAMILY, NFT_TABLE
from buoy.render import nft_rules
from buoy.render.nft_names import combination_chain, group_chain, member_set
from buoy.render.nft_skeleton import ARP_ANSWERED, ARP_CHAIN, ARP_RULES, ARP_SETS, CHAINS, COUNTED, MOVED, SETS

_TABLE = f"{NFT_FAMILY} {NFT_TABLE}"


def skeleton(metadata_port: int = 8775, foreign: Iterable[str] = ()) -> str:
    """Return table, sets and static chains; `foreign` are taps of other drivers, `metadata_port` is on 127.0.0.1."""
    lines = [f"add table {_TABLE}"]
    # nft changes no base chain's priority in place: what an agent before this one loaded must make room
    lines += [f"{act} chain {_TABLE} {chain}" for chain in MOVED for act in ("add", "flush", "delete")]
    lines += [f"add {kind} {_TABLE} {name} {{ {spec}; }}" for kind, name, spec in (*SETS, *COUNTED)]
    chains = len(lines)
    for chain, (spec, rules) in CHAINS.items():
        # a chain must exist before a rule jumps to it
        lines[chains:chains] = [f"add chain {_TABLE} {chain}{f' {{ {spec} }}' if spec else ''}"]
        lines.append(f"flush chain {_TABLE} {chain}")
        lines += [f"add rule {_TABLE} {chain} {rule.replace('METADATA', str(metadata_port))}" for rule in rules]
    lines.append(f"flush set {_TABLE} foreign")
    names = ", ".join(f'"{name}"' for name in sorted(foreign))
    lines += [f"add element {_TABLE} foreign {{ {names} }}"] if names else []
    lines += [f"add table arp {NFT_TABLE}", f"add chain arp {NFT_TABLE} input {{ {ARP_CHAIN} }}"]
    lines += [f"add {kind} arp {NFT_TABLE} {name} {{ {spec}; }}" for kind, name, spec in ARP_SETS]
    lines.append(f"flush chain arp {NFT_TABLE} input")
    # others' taps are answered as ours are, however many ask through them
    passed = [f"iifname {{ {names} }} {ARP_ANSWERED} accept"] if names else []
    lines += [f"add rule arp {NFT_TABLE} input {rule}" for rule in (*passed, *ARP_RULES)]
    return "\n".join(lines) + "\n"


def nothing() -> str:
    """Return the removal of both our tables, whether they are there or not."""
    tables = (_TABLE, f"arp {NFT_TABLE}")
    return "".join(f"{verb} table {table}\n" for table in tables for verb in ("add", "delete"))


def group(identifier: str, rules: Iterable[Rule]) -> str:
    """Return the chains of one group; its own sets and those its rules name exist afterwards."""
    rules = tuple(rules)
    named = {identifier, *(rule.group for rule in rules if rule.group is not None)}
    lines = [line for name in sorted(named) for line in member_sets(name)]
    for side in Side:
        chain = group_chain(side, identifier)
        lines += _fresh(chain)
        for index, rule in enumerate(rules):
            if rule.side is side:
                lines += _rule(chain, index, rule)
        lines.append(_comment(chain, "continue", f"{len(rules)} rules"))
    return "\n".join(lines) + "\n"


def group_comments(rules: Iterable[Rule]) -> dict[Side, list[str]]:
    """Return the comments that a group's two chains carry, from which `read_group` knows it again."""
    rules = tuple(rules)
    told: dict[Side, list[str]] = {side: [] for side in Side}
    for index, rule in enumerate(rules):
        told[rule.side].append(f"{index} {nft_rules.write(rule)}")
        told[rule.side] += [f"{index} +"] * (len(nft_rules.statements(rule)) - 1)
    for side in Side:
        told[side].append(f"{len(rules)} rules")
    return told


def combination_comments(groups: Iterable[str]) -> list[str]:
    """Return the comments that each of a combination's chains carries."""
    groups = tuple(groups)
    return [*(f"{index} {name}" for index, name in enumerate(groups)), f"{len(groups)} groups"]


def read_group(comments: dict[Side, list[str]]) -> tuple[Rule, ...] | None:
    """Return the rules whose comments these are, or None if anything is missing or strange."""
    numbered: dict[int, Rule] = {}
    for line in (line for lines in comments.values() for line in lines):
        index, _, text = line.partition(" ")
        rule = nft_rules.read(text)
        if rule is not None and index.isdigit():
            numbered[int(index)] = rule
    rules = tuple(numbered[index] for index in sorted(numbered))
    return rules if group_comments(rules) == comments else None


def read_combination(comments: dict[Side, list[str]]) -> tuple[str, ...] | None:
    """Return the groups whose comments these are, or None if anything is missing or strange."""
    groups = tuple(line.partition(" ")[2] for line in comments[Side.INGRESS][:-1])
    expected = combination_comments(groups)
    return groups if all(comments[side] == expected for side in Side) else None


def _rule(chain: str, index: int, rule: Rule) -> list[str]:
    first, *more = nft_rules.statements(rule)
    lines = [_comment(chain, f"{first} accept", f"{index} {nft_rules.write(rule)}")]
    return lines + [_comment(chain, f"{match} accept", f"{index} +") for match in more]


def combination(identifier: str, groups: Iterable[str]) -> str:
    """Return the chains of one combination: jump to each group, then drop."""
    groups = tuple(groups)
    lines = []
    for side in Side:
        chain = combination_chain(side, identifier)
        # a group whose document has not come allows nothing
        lines += [f"add chain {_TABLE} {group_chain(side, name)}" for name in groups]
        lines += _fresh(chain)
        lines += [
            _comment(chain, f"jump {group_chain(side, name)}", f"{index} {name}") for index, name in enumerate(groups)
        ]
        lines.append(_comment(chain, "drop", f"{len(groups)} groups"))
    return "\n".join(lines) + "\n"


def member_sets(identifier: str) -> list[str]:
    """Return the lines that make a group's four sets."""
    lines = []
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        lines.append(f"add set {_TABLE} {member_set(identifier, version, host=True)} {{ type {kind}; }}")
        lines.append(
            f"add set {_TABLE} {member_set(identifier, version, host=False)} {{ type {kind}; flags interval; }}"
        )
    return lines


def remove_chains(chains: Iterable[str]) -> str:
    """Return the removal of chains, all in one transaction."""
    chains = tuple(chains)
    return "".join(f"{verb} chain {_TABLE} {chain}\n" for verb in ("flush", "delete") for chain in chains)


def remove_sets(names: Iterable[str]) -> str:
    """Return the removal of sets."""
    return "".join(f"delete set {_TABLE} {name}\n" for name in names)


def _fresh(chain: str) -> list[str]:
    return [f"add chain {_TABLE} {chain}", f"flush chain {_TABLE} {chain}"]


def _comment(chain: str, rule: str, text: str) -> str:
    return f'add rule {_TABLE} {chain} {rule} comment "{text}"'
