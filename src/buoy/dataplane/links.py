# SPDX-License-Identifier: Apache-2.0
"""Interfaces: a mirror that notifications keep, and the driver of their settings.

Promises: `links()` is every interface by name; an entry of table LINK is
observed where the kernel says that a setting of ours is there, and as complete
where all are, the node's own among them; `foreign` interfaces are never looked at. The tricky thing: a setting
changed by hand is told only by netconf notifications without the value, so the
interface is read again.
"""

from collections.abc import Collection, Mapping, Sequence

from buoy.dataplane import netlink, rtnl, sysctls
from buoy.dataplane.foundation import Foundation
from buoy.dataplane.rtnl import LinkSeen
from buoy.model.address import Address
from buoy.model.errors import DataplaneError
from buoy.model.nodestate import Change, Failure, Key, Link, LinkSettings, NodeState, Step, Table
from buoy.model.ownership import TAP_PREFIX


class Links:
    """Driver of table LINK and mirror of all interfaces."""

    def __init__(self, channel: netlink.Channel, foreign: Collection[str] = ()) -> None:
        self._channel = channel
        self.foundation = Foundation(channel, self.name)
        self._foreign = foreign
        self._by_index: dict[int, LinkSeen] = {}
        self._by_name: dict[str, Link] = {}
        self._right: set[str] = set()
        self._noticed: set[str] = set()
        self._damaged: set[Key] = set()

    def links(self) -> Mapping[str, Link]:
        """Return every interface by name."""
        return self._by_name

    def name(self, index: int) -> str:
        """Return the name of an interface, `#7` for one that is gone."""
        seen = self._by_index.get(index)
        return seen.name if seen else f"#{index}"

    def is_down(self, index: int) -> bool:
        """Tell whether an interface is known, and not up."""
        seen = self._by_index.get(index)
        return seen is not None and not seen.up

    def index(self, name: str) -> int:
        """Return the index of an interface; raise `DataplaneError` if there is none of that name."""
        link = self._by_name.get(name)
        if link is None:
            raise DataplaneError(f"ip link show {name}", "no such interface")
        return link.index

    def reload(self) -> set[str]:
        """Read every interface afresh; return the names that came, went or changed state."""
        before, right = dict(self._by_name), self._right
        self._by_index, self._by_name, self._right = {}, {}, set()
        for _, payload in self._channel.dump(rtnl.link_dump()):
            seen = rtnl.parse_link(payload)
            if seen is not None:
                self._put(seen)
        self._damaged |= {Key(Table.LINK, (name,)) for name in (right - self._right) & self._by_name.keys()}
        self._damaged |= self.foundation_heard()
        return {name for name in before.keys() | self._by_name.keys() if before.get(name) != self._by_name.get(name)}

    def heard(self, event: netlink.Heard) -> set[str]:
        """Take one link notification; return the names that came, went or changed state."""
        seen = rtnl.parse_link(event.payload)
        if seen is None:
            return set()
        old = self._by_index.get(seen.ifindex)
        names = {seen.name} | ({old.name} if old else set())
        before = {name: self._by_name.get(name) for name in names}
        self._drop(seen.ifindex)
        if event.kind == rtnl.NEWLINK:
            # notifications leave the settings out
            conf = (old.conf4, old.conf6) if old and not seen.conf4 else (seen.conf4, seen.conf6)
            self._put(seen._replace(conf4=conf[0], conf6=conf[1]))
        return {name for name in names if before[name] != self._by_name.get(name)}

    def settings_heard(self, event: netlink.Heard) -> set[Key]:
        """Take one netconf notification; return the keys whose settings are no longer right."""
        raw = netlink.attributes(event.payload, 4).get(1, b"")
        index = int.from_bytes(raw, "little", signed=True)
        if index == rtnl.EVERY_INTERFACE:
            return self.foundation_heard()
        seen = self._by_index.get(index)
        if seen is None or seen.name not in self._right:
            # it may be an uplink that was closed, or one that is open again
            news = rtnl.is_closed(event.payload) or self.name(index) in self.foundation.closed
            return self.foundation_heard() if news else set()
        self._refresh(seen.name)
        return set() if seen.name in self._right else {Key(Table.LINK, (seen.name,))}

    def follow(self, peers: Collection[Address]) -> None:
        """Implement `Uplinks.follow`."""
        if self.foundation.follow(peers):
            self._damaged |= self.foundation_heard()

    def closed(self) -> tuple[str, ...]:
        """Implement `Uplinks.closed`."""
        return self.foundation.closed

    def foundation_heard(self) -> set[Key]:
        """Look at the node's own settings; return the keys of all our interfaces if these are no longer right."""
        return {Key(Table.LINK, (name,)) for name in self._right} if self.foundation.look() else set()

    def observe(self, keys: Collection[Key] | None) -> NodeState:
        """Return our entries of table LINK under these keys; None: all."""
        if keys is None:
            self._noticed |= self.reload()
            names = [name for name in self._by_name if name.startswith(TAP_PREFIX) and name not in self._foreign]
        else:
            names = [key.name[0] for key in keys]
            for name in names:
                self._refresh(name)
        return {Key(Table.LINK, (name,)): entry for name in names if (entry := self._entry(name))}

    def _entry(self, name: str) -> LinkSettings | None:
        if name in self._right and self.foundation.right:
            return LinkSettings()
        link = self._by_name.get(name)
        return LinkSettings(complete=False) if link and sysctls.marked(self._by_index[link.index]) else None

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        """Write the settings of each interface."""
        failures = []
        for step in steps:
            assert isinstance(step.act, Change)
            name = step.act.key.name[0]
            try:
                if step.act.after is None:
                    sysctls.let_go(name)
                else:
                    self.index(name)
                    if not self.foundation.right:
                        self.foundation.lay()
                    sysctls.write(name)
            except DataplaneError as error:
                failures.append(Failure(step, str(error)))
            self._refresh(name)
            # what we have just done ourselves is not another's damage
            self._damaged.discard(step.act.key)
        return failures

    def noticed(self) -> set[str]:
        """Return, once, the names whose change we came upon while looking: the notification will find it no news."""
        noticed, self._noticed = self._noticed, set()
        return noticed

    def damaged(self) -> set[Key]:
        """Return, once, the keys whose settings we found wrong while looking, for the same reason."""
        damaged, self._damaged = self._damaged, set()
        return damaged

    def _refresh(self, name: str) -> None:
        link = self._by_name.get(name)
        if link is None:
            return
        try:
            for payload in self._channel.ask(rtnl.link_request(link.index)):
                seen = rtnl.parse_link(payload)
                if seen is not None and seen.name == name:
                    was_right = name in self._right
                    self._put(seen)
                    if was_right and name not in self._right:
                        self._damaged.add(Key(Table.LINK, (name,)))
                    if self._by_name[name] != link:
                        self._noticed.add(name)
        except netlink.Refusal:
            # it went meanwhile: the notification says so
            self._right.discard(name)

    def _put(self, seen: LinkSeen) -> None:
        self._by_index[seen.ifindex] = seen
        self._by_name[seen.name] = Link(seen.name, seen.ifindex, seen.up)
        (self._right.discard if sysctls.wrong(seen) else self._right.add)(seen.name)

    def _drop(self, index: int) -> None:
        old = self._by_index.pop(index, None)
        if old is not None:
            self._by_name.pop(old.name, None)
            self._right.discard(old.name)
