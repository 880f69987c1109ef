# SPDX-License-Identifier: Apache-2.0
"""Print `docs/reference/neutron-extensions.md` from what the code says: `python -m buoy.neutron.reference`."""

from collections.abc import Iterable, Mapping

from buoy.neutron.extensions import VETOED, WORKS

_HEAD = """\
# Neutron's API extensions

Every extension that a Neutron with Buoy lists works; what would be accepted and ignored is not listed, so its
attributes are refused with 400. `openstack extension list --network` shows the first table. A test compares it with a
running server. This page is printed by `python -m buoy.neutron.reference`.

Beside another mechanism driver the veto holds for it as well: ML2 lists only what all drivers support.
"""


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *_table("Works", "how", WORKS), "", *_table("Vetoed", "why", VETOED), ""])


def _table(title: str, word: str, aliases: Mapping[str, str]) -> Iterable[str]:
    yield from (f"## {title}", "", f"| alias | {word} |", "|---|---|")
    yield from (f"| `{alias}` | {text} |" for alias, text in sorted(aliases.items()))


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
