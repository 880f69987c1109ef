# SPDX-License-Identifier: Apache-2.0
"""The rule of `ipam/overlap.py` in the words of CEL, for an API server that runs no Python.

Promises the same answer for whatever can be read. The tricky thing is numbers: those of
CEL have 64 bits. So an address is a text here, a digit for its family and then its
hexadecimal digits, all of them: such texts sort as the numbers do, and those of two
families never meet. What has an address in common begins at the first address of
something that gives, or right after something that does not; only there is looked.

Source: kubernetes.io, "CEL in Kubernetes"; cel-go ext/strings.
"""

from typing import NamedTuple

_DIGITS = "'0123456789abcdef'"
_ZEROS, _FULL = f"'{'0' * 32}'", f"'{'f' * 32}'"


class Spec(NamedTuple):
    """A pool's spec by its path, such as ``object.spec``, whether it is of Buoy's kind or of MetalLB's."""

    path: str

    @property
    def avoids(self) -> str:
        """Whether it leaves out addresses that end in .0 and .255."""
        return f"({self.path}.?avoidEndAddresses.orValue(false) || {self.path}.?avoidBuggyIPs.orValue(false))"

    def given(self, kind: str, suffix: str = "") -> str:
        """The texts of its addresses as entries of a kind; `suffix` says whose they are."""
        return " + ".join(
            (
                f"{self.path}.?prefixes.orValue([]).map(t, {_entry(kind, 't', suffix)})",
                f"{self.path}.?ranges.orValue([]).map(r, {_range(kind, 'r.first', 'r.last', suffix)})",
                f"{self.path}.?addresses.orValue([]).map(t, {_text(kind, suffix)})",
            )
        )

    def left_out(self, kind: str) -> str:
        """The texts of its exclusions as entries of a kind."""
        return f"{self.path}.?exclude.orValue([]).map(t, {_entry(kind, 't')})"


def bound(name: str, value: str, expression: str) -> str:
    """Return an expression in which a name stands for a value, which is worked out once."""
    return f"[{value}].map({name}, {expression})[0]"


def entry(kind: str, first: str, last: str, says: str) -> str:
    """Return what is said of addresses: from the first of one text to the last of another, each an address or CIDR."""
    # what the server takes for a value of any kind is none that may stand beside a text
    return f"{{'kind': '{kind}', 'first': string({first}), 'last': string({last}), 'says': string({says})}}"


def _entry(kind: str, text: str, suffix: str = "") -> str:
    return entry(kind, text, text, f"{text}{suffix}")


def _range(kind: str, first: str, last: str, suffix: str) -> str:
    return entry(kind, first, last, f"{first} + '-' + {last}{suffix}")


def _text(kind: str, suffix: str) -> str:
    """MetalLB's: a network, or a range with a dash in it."""
    pair = "t.split('-', 2)"
    return (
        f"t.contains('-') ? {entry(kind, f'{pair}[0].trim()', f'{pair}[1].trim()', f't{suffix}')}"
        f" : {entry(kind, 't.trim()', 't.trim()', f't{suffix}')}"
    )


def _network(text: str) -> str:
    return f"(isCIDR({text}) ? string(cidr({text}).masked().ip()) : string(ip({text})))"


def sorting(address: str) -> str:
    """Return an address as a text that sorts as the number does."""
    filled = bound(
        "s",
        f"({address}.startsWith('::') ? '0' : '') + {address} + ({address}.endsWith('::') ? '0' : '')",
        "s.contains('::') ? s.replace('::', ':' + '0:0:0:0:0:0:'.substring(0, 2 * (9 - s.split(':').size()))) : s",
    )
    six = f"'6' + {filled}.split(':').map(g, '0000'.substring(g.size()) + g).join('')"
    octet = f"{_DIGITS}.charAt(int(o) / 16) + {_DIGITS}.charAt(int(o) % 16)"
    return f"({address}.contains(':') ? {six} : '4' + {address}.split('.').map(o, {octet}).join(''))"


def _last(first: str, length: str) -> str:
    """The last address of a network, of its first one and the length of its prefix."""
    whole = f"{first}.substring(0, 1 + {length} / 4)"
    digit = f"{_DIGITS}.charAt({_DIGITS}.indexOf({first}.charAt(1 + {length} / 4)) + [0, 7, 3, 1][{length} % 4])"
    rest = f"{_FULL}.substring(0, {first}.size() - 1 - ({length} + 3) / 4)"
    return f"{whole} + ({length} % 4 == 0 ? '' : {digit}) + {rest}"


def _after(address: str) -> str:
    """The address after one; after the last of a family what is greater than all of it."""
    raised = f"{_DIGITS}.charAt({_DIGITS}.indexOf(h.substring(h.size() - 1)) + 1)"
    carried = f"h.substring(0, h.size() - 1) + {raised} + {_ZEROS}.substring(0, {address}.size() - h.size())"
    none = f"({address}.startsWith('4') ? '5' : '7')"
    return bound("h", f"{address}.find('^.[0-9a-f]*[0-9a-e]')", f"h == '' ? {none} : {carried}")


def _usable(address: str) -> str:
    """The first address from one on that does not end in .0 or .255, if it is of IPv4."""
    passed = f"{address}.endsWith('ff') ? {_after(address)} : {address}"
    begun = "q.endsWith('00') ? q.substring(0, q.size() - 2) + '01' : q"
    return f"({address}.startsWith('4') ? {bound('q', passed, begun)} : {address})"


def usable(points: str) -> str:
    """Return points, each moved on to where no IPv4 address ends in .0 or .255."""
    return f"{points}.map(p, {_usable('p')})"


def readable(entries: str) -> str:
    """Return those of some entries that are addresses."""
    both = "isIP(e.first) && isIP(e.last) && ip(e.first).family() == ip(e.last).family()"
    return f"({entries}).filter(e, isCIDR(e.last) || {both})"


def covers(entries: str) -> str:
    """Return a network around each of some entries: its own, or one of few lengths that has a whole range in it."""
    lengths = "(e.first.contains(':') ? ['/112', '/64', '/32', '/0'] : ['/24', '/16', '/8', '/0'])"
    around = f"{lengths}.map(n, cidr(e.first + n)).filter(c, c.containsIP(e.last))[0]"
    return f"{entries}.map(e, isCIDR(e.last) ? cidr(e.last) : {around})"


def ordered(entries: str) -> str:
    """Return entries with their first addresses, and lengths of prefixes."""
    first, last = (bound("a", _network(text), sorting("a")) for text in ("e.first", "e.last"))
    both = f"'first': {first}, 'last': {last}"
    length = "'length': isCIDR(e.last) ? string(cidr(e.last).prefixLength()) : ''"
    return f"{entries}.map(e, {{'kind': e.kind, 'says': e.says, {both}, {length}}})"


def intervals(entries: str) -> str:
    """Return entries from their first address to what is after their last one."""
    last = f"e.length == '' ? e.last : {bound('n', 'int(e.length)', _last('e.last', 'n'))}"
    made = f"{{'kind': e.kind, 'says': e.says, 'first': e.first, 'end': {bound('a', last, _after('a'))}}}"
    return f"{entries}.map(e, {made}).filter(e, e.first < e.end)"
