# SPDX-License-Identifier: Apache-2.0
"""From the API's answer to the first packet delivered: associate, move, and flows begun meanwhile.

A lab with a real Neutron and two compute nodes; compute-1 holds 10,000 other floating IPs,
loaded in bulk at the store, and in a second lab 500 made through the API. A client on the
access node sends one UDP flow, a packet each millisecond; the clock starts when the API has
answered, and stops when the guest has the first packet. A move takes the floating IP to a
guest on the other node; the flow is then an old one that must change guests. In each trial
other flows begin at random moments around the association; one that is never answered is
dead. The access node has a route to compute-1 for the whole pool, so that flows begun too
early do reach the node.
"""

import random
import threading
import time
from collections.abc import Mapping, Sequence

from bench import cloudlab, crowd
from bench.api import Api
from bench.plot import Plot, Point
from bench.prober import Ears, Flow, connect
from bench.report import Options, Report, short, spread
from buoy.lab import vm
from buoy.lab.lab import Lab

NODES = ("compute-1", "compute-2")
POOL, TENANT = "198.18.0.0/22", "10.200.0.0/20"
IN_BULK, THROUGH_API = 10_000, 500
_EVERY, _RARELY = 0.001, 0.02
_DEAD_AFTER = 8.0
_PATIENCE = 20.0
_AIM = 150.0
_ONE_IN = (2, 4, 10, 20, 50, 100, 200, 500)
_LEAST = 0.1
"""Milliseconds: what came sooner is drawn here, for the picture's axes are logarithmic."""
_BEGUN, _TCP_EACH = 3, 5
"""UDP flows begun in each trial; a TCP connection in every fifth, for its second SYN waits a second."""
_AROUND = (-0.05, 0.2)
_FEWER = 5
_LOAD_SECONDS = 120.0


def bench(options: Options) -> None:
    """Measure under both loads and write the table."""
    trials = options.times(1_000, 5)
    bulk, api = (1_000, 100) if options.quick else (IN_BULK, THROUGH_API)
    with cloudlab.lab("assoc", 2) as made:
        after_bulk = Trials(made)
        cloudlab.fill(made, NODES[0], bulk)
        found = {f"{bulk:,} in bulk": after_bulk.run(trials)}
    with cloudlab.lab("assoc-api", 2) as made:
        after_api = Trials(made)
        after_api.load(api)
        found[f"{api:,} through the API"] = after_api.run(-(-trials // _FEWER))
    report = Report(
        "associate",
        "From the API's answer to the first packet delivered (ms)",
        f"{trials} trials with a load written in bulk to the store, a fifth of it with one made through the API; "
        "what is measured goes through the API",
        ("act", "floating IPs on the node", "median (quartiles)", "p99", "most", "API's own answer"),
    )
    for load, each in found.items():
        for act in ("associate", "move"):
            one = spread(each[act])
            report.row(act, load, one, short(one.p99), short(max(each[act])), spread(each[f"{act} answer"]))
    for load, each in found.items():
        for kind in ("UDP", "TCP"):
            dead = each[f"{kind} dead"]
            report.row(f"{kind} flows around it", load, f"{len(dead):,} begun", "", "", f"{sum(dead):g} dead")
    report.data = found
    report.plots.append(tails(found))
    report.save(options)


def tails(found: Mapping[str, Mapping[str, list[float]]]) -> Plot:
    """Return how long the slowest of so many trials take, for each act and load."""
    drawn = {f"{act}, {load}": tail(each[act]) for load, each in found.items() for act in ("associate", "move")}
    series = {name: points for name, points in drawn.items() if points}
    title = "From the API's answer to the first packet"
    return Plot("associate", title, "one in so many trials takes longer", "ms", series, _AIM)


def tail(times: Sequence[float]) -> list[Point]:
    """Return for each N the time that one in N trials exceeds, as far as there are at least two such trials."""
    ordered = sorted(times, reverse=True)
    exceeded = {each: max(ordered[len(ordered) // each], _LEAST) for each in _ONE_IN if len(ordered) >= 2 * each}
    return [Point(each, time, time, time) for each, time in exceeded.items()]


class Trials:
    """One lab made ready, and what was measured in it, in milliseconds."""

    def __init__(self, made: Lab) -> None:
        self.made = made
        self.api = Api(made.env()["OS_ENDPOINT"])
        self.network()
        self.guests = [vm.boot(made, vm.Wish(name=f"guest-{node[-1]}", network="tenant", host=node), _silently)
                       for node in NODES]  # fmt: skip
        self.floating = self.api.create("floatingip", floating_network_id=self.public)
        self.address = str(self.floating["floating_ip_address"])
        self.access = cloudlab.process_of(made, cloudlab.ACCESS)
        made.exec(cloudlab.ACCESS, "ip", "route", "add", POOL, "via", "192.168.8.3", "metric", "4096")
        self.ears = Ears()
        for guest in self.guests:
            self.ears.listen(cloudlab.process_of(made, guest["name"]), guest["name"])
        self.found: dict[str, list[float]] = {
            name: [] for name in ("associate", "move", "associate answer", "move answer", "UDP dead", "TCP dead")
        }

    def network(self) -> None:
        """Make a tenant network, an external one, and a router between them; let UDP and TCP in."""
        api = self.api
        self.tenant = api.create("network", name="tenant", shared=True)["id"]
        subnet = self.subnet = api.create("subnet", network_id=self.tenant, ip_version=4, cidr=TENANT)["id"]
        self.public = api.create("network", name="public", **{"router:external": True})["id"]
        api.create("subnet", network_id=self.public, ip_version=4, cidr=POOL)
        gateway = {"network_id": self.public}
        router = api.create("router", name="router", external_gateway_info=gateway)["id"]
        api.call("PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet})
        [group] = [each["id"] for each in api.call("GET", "security-groups?name=default")["security_groups"]][:1]
        for protocol in ("udp", "tcp"):
            api.create("security_group_rule", security_group_id=group, direction="ingress", protocol=protocol)

    def load(self, count: int) -> None:
        """Give the first node so many floating IPs as users do, a port for each `crowd.PER_PORT` of them."""
        for first in range(0, count, crowd.PER_PORT):
            fixed = [{"subnet_id": self.subnet}] * min(crowd.PER_PORT, count - first)
            wanted = {"network_id": self.tenant, "fixed_ips": fixed, "binding:host_id": NODES[0]}
            port = self.api.create("port", device_owner="compute:nova", device_id=f"load-{first}", **wanted)
            name = f"tap{port['id'][:11]}"
            self.made.exec(NODES[0], "ip", "link", "add", name, "type", "veth", "peer", "name", f"g{name[3:]}")
            self.made.exec(NODES[0], "ip", "link", "set", name, "up")
            for each in port["fixed_ips"]:
                to = {"port_id": port["id"], "fixed_ip_address": each["ip_address"]}
                self.api.create("floatingip", floating_network_id=self.public, **to)
        deadline = time.monotonic() + _LOAD_SECONDS
        while len(self.api.call("GET", "floatingips?status=ACTIVE&fields=id")["floatingips"]) < count:
            assert time.monotonic() < deadline, f"fewer than {count} floating IPs ACTIVE after {_LOAD_SECONDS:g} s"
            time.sleep(0.2)

    def run(self, trials: int) -> dict[str, list[float]]:
        """Try so often; return what was found."""
        chosen = random.Random(3)
        for number in range(trials):
            self._trial([chosen.uniform(*_AROUND) for _ in range(_BEGUN + 1)], tcp=number % _TCP_EACH == 0)
            if number % 100 == 99:
                each = spread(self.found["associate"])
                print(f"{number + 1}: associate {each}, p99 {short(each.p99)} ms", flush=True)
        return self.found

    def _associate(self, port: str | None) -> float:
        """Associate with a port, or disassociate; return when the API had answered."""
        self.api.call("PUT", f"floatingips/{self.floating['id']}", {"floatingip": {"port_id": port}})
        return time.perf_counter()

    def _trial(self, moments: list[float], *, tcp: bool) -> None:
        """Associate with the first guest, move to the second, disassociate."""
        self.ears.clear()
        flow = Flow(self.access, self.address, _EVERY)
        flow.start()
        others = [Flow(self.access, self.address, _RARELY) for _ in range(_BEGUN)]
        for other, moment in zip(others, moments, strict=False):
            other.start(moment - _AROUND[0])
        late = threading.Thread(target=self._connect, args=(moments[-1] - _AROUND[0],))
        if tcp:
            late.start()
        time.sleep(-_AROUND[0])
        self._point("associate", 0, flow)
        if tcp:
            late.join()
        deadline = time.monotonic() + _DEAD_AFTER
        while not all(other.answered for other in others) and time.monotonic() < deadline:
            time.sleep(0.005)
        self.found["UDP dead"] += [float(not other.answered) for other in others]
        for other in others:
            other.stop()
        self.ears.clear()
        self._point("move", 1, flow)
        self._associate(None)
        assert self.ears.silent(flow.port, 0.03, _PATIENCE), "packets are delivered after the disassociation"
        flow.stop()

    def _point(self, act: str, guest: int, flow: Flow) -> None:
        to = self.guests[guest]
        asked = time.perf_counter()
        answered = self._associate(to["port"])
        delivered = self.ears.first(to["name"], flow.port, _PATIENCE)
        assert delivered is not None, f"{act}: nothing delivered to {to['name']} in {_PATIENCE:g} s"
        self.found[act].append(max(0.0, delivered - answered) * 1e3)
        self.found[f"{act} answer"].append((answered - asked) * 1e3)

    def _connect(self, after: float) -> None:
        time.sleep(after)
        self.found["TCP dead"].append(float(connect(self.access, self.address, 80, _DEAD_AFTER) == "dead"))


def _silently(text: str) -> None:
    """Say nothing of what is waited for."""
    del text
