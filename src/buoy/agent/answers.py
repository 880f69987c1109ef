# SPDX-License-Identifier: Apache-2.0
"""What the agent answers on its local socket, each answer from the function that decided."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from buoy.agent.kept import Draining
from buoy.agent.node import Agent
from buoy.model.address import host_prefix, parse_address
from buoy.model.errors import StoreUnavailable
from buoy.model.node import Node
from buoy.model.nodestate import Class, Key, NodeState
from buoy.model.snapshot import Snapshot
from buoy.planner.explain import Scene, explain
from buoy.planner.guard import freed
from buoy.planner.plan import make_plan
from buoy.planner.status import Seen, act_name, entry_name
from buoy.planner.verify import mismatches
from buoy.planner.wanted import announcement
from buoy.render.entries import entry_text


class Answers:
    """Questions by name, for `inspect.listen`."""

    def __init__(self, agent: Agent, draining: Draining, wake: Callable[[], None]) -> None:
        self._agent = agent
        self._draining = draining
        self._wake = wake

    def all(self) -> Mapping[str, Any]:
        """Return the functions by the name of the question."""
        return {
            "why": self.why,
            "plan": self.plan,
            "audit": self.audit,
            "sessions": self.sessions,
            "release-guard": self.release,
            "drain": lambda _: self._prefer(draining=True),
            "undrain": lambda _: self._prefer(draining=False),
        }

    def why(self, question: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Explain an address from here; observes the host afresh for what it needs."""
        agent, snapshot = self._agent, self._snapshot()
        address = parse_address(str(question.get("address", "")))
        outcome = agent.last
        wanted = agent.desired.wanted(address)
        # BIRD is asked anew: what it last said may be a second old, and patience is for statuses
        untold = agent.parts.announcements.ask(host_prefix(address)) if wanted.keys else None
        seen = Seen((), outcome.failures if outcome else (), untold, agent.parts.caution.cause)
        nodes = [document for document in snapshot.documents.values() if isinstance(document, Node)]
        scene = Scene(agent.desired, self._look(wanted.keys | {announcement(address)}), seen, nodes)
        return [msgspec.to_builtins(line) for line in explain(address, scene)]

    def plan(self, _: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the steps the next whole pass would do, and whether the guard holds them."""
        agent = self._agent
        self._snapshot()
        whole = make_plan(self._look(None), agent.desired.state)
        judged = freed(agent.parts.caution.preview(whole), whole, agent.desired.sight)
        held = {id(step) for step in judged.held}
        sessions = [
            {"phase": "withdraw", "act": f"BGP session {name}", "before": "configured", "after": "-", "held": True}
            for name in agent.parts.bird.held
        ]
        return sessions + [
            {
                "phase": step.phase.name.lower().replace("_", "-"),
                "act": act_name(step.act),
                "before": entry_text(getattr(step.act, "before", None)),
                "after": entry_text(getattr(step.act, "after", None)),
                "held": id(step) in held,
            }
            for step in whole.steps
        ]

    def audit(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Compare the host, read afresh, with what is wanted."""
        agent = self._agent
        self._snapshot()
        wrong = mismatches(agent.desired.state, self._look(None))
        return {
            "entries": len(agent.desired.state),
            "wrong": [
                {"entry": entry_name(each.key), "wanted": entry_text(each.wanted), "seen": entry_text(each.seen)}
                for each in wrong
            ],
            "held": agent.parts.caution.cause,
            "problems": [str(problem) for problem in agent.parts.bird.problems],
        }

    def sessions(self, _: Mapping[str, Any]) -> Any:  # noqa: ANN401  JSON
        """Return the BGP sessions as BIRD last told them."""
        return (
            msgspec.to_builtins(agent_sessions) if (agent_sessions := self._agent.parts.announcements.sessions) else []
        )

    def release(self, _: Mapping[str, Any]) -> str:
        """Let held removals go on with the next pass."""
        self._snapshot()
        cause = self._agent.parts.caution.release()
        self._agent.look_at_everything()
        self._wake()
        return cause

    def _look(self, keys: Collection[Key] | None) -> NodeState:
        """Observe the host; what it had to tell has left the sockets with that, so the loop is told to ask for it."""
        self._wake()
        return self._agent.parts.host.observe(keys)

    def _prefer(self, *, draining: bool) -> bool:
        # on disk first: an agent killed in between goes on where this one was
        self._draining.keep(draining)
        self._agent.prefer(Class.DRAIN if draining else Class.NORMAL)
        self._wake()
        return draining

    def _snapshot(self) -> Snapshot:
        if self._agent.snapshot is None:
            raise StoreUnavailable("this agent has not heard from its store since it started")
        return self._agent.snapshot
