# SPDX-License-Identifier: Apache-2.0
"""`buoy why`, `status`, `show` and `node` as a person types them, on a store in memory without any agent."""

import asyncio
import datetime as dt
import json
from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from buoy.cli import context
from buoy.cli.main import app
from buoy.model import documents
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.errors import BuoyError
from buoy.model.node import Node, PeerSession
from buoy.model.peer import Peer
from buoy.model.pool import Pool, Registry
from buoy.model.proxied import Eligibility
from buoy.model.reason import Reason
from buoy.model.service_ip import Endpoint, Owner, ServiceIP
from buoy.model.status import AddressStatus, State
from buoy.model.writer import Writer
from buoy.store.memory import MemoryStore
from buoy.store.store import Write
from tests.unit.planner.cloud import FIXED, HERE, SERVICE, THERE, endpoint, floating, port
from tests.unit.planner.cluster import EVERYWHERE, PUBLIC, backing, balanced, settings

UP = PeerSession(name="peer_tor", address=Address("192.0.2.254"), asn=64511, state="Established")
DOWN = PeerSession(name="peer_tor", address=Address("192.0.2.254"), asn=64511, state="Active")
SERVED = AddressStatus(node=HERE, address=SERVICE, state=State.ACTIVE, programmed=True, announced=True)
LEFT = AddressStatus(node=THERE, address=SERVICE, state=State.ACTIVE, programmed=True, announced=True)

Buoy = Callable[..., tuple[int, str]]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def buoy(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Buoy:
    monkeypatch.setattr(context, "open_any", lambda _: store)
    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, "http://192.0.2.100:2379")

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, words)
        if isinstance(result.exception, BuoyError):
            return context.exit_code(result.exception), str(result.exception)
        return result.exit_code, result.output

    return run


def hold(store: MemoryStore, *wanted: Document) -> None:
    asyncio.run(store.write([Write(documents.path(document), document) for document in wanted]))


def test_a_served_address_ends_with_0(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, port(), floating(id="fip"), Node(name=HERE), SERVED)
    code, text = buoy("why", SERVICE)
    expected = [
        "✓ document      translated service IP fip, direction both",
        "✓ binding       port port1, fixed IP 192.0.2.1, on compute-1",
        "✓ status        compute-1 programmed it and an established peer was told",
    ]
    assert (0, expected) == (code, text.splitlines())
    assert (code, text) == buoy("why", SERVICE, "-n", "shop"), "an address is one in every namespace"


def test_a_no_ends_with_1_and_an_unknown_address_with_4(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, port(), floating())
    code, text = buoy("why", SERVICE)
    assert (1, True) == (code, f"✗ node          {HERE} has no living buoy agent; " in text)
    assert 4 == buoy("why", "203.0.113.9")[0]
    assert 2 == buoy("why", "203.0.113")[0]


def test_json_has_topic_text_and_reason_of_each_line(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, floating(endpoints=()))
    code, text = buoy("why", SERVICE, "-o", "json")
    assert (1, [("document", True, ""), ("binding", False, "unbound")]) == (
        code,
        [(line["topic"], line["ok"], line["reason"]) for line in json.loads(text)],
    )


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ((), Reason.UNBOUND),
        ((endpoint(node=""),), Reason.PORT_UNBOUND),
        ((endpoint(node="", driver="ovn"),), Reason.OTHER_DRIVER),
    ],
)
def test_a_service_ip_that_is_on_no_node_is_listed_and_counted(
    store: MemoryStore, buoy: Buoy, ends: tuple[Endpoint, ...], reason: Reason
) -> None:
    hold(store, floating(endpoints=ends))
    listed = json.loads(buoy("show", "addresses", "-o", "json")[1])
    assert [(SERVICE, "down", reason)] == [(row["address"], row["state"], row["reason"]) for row in listed]
    assert "0 active, 0 down, 1 unbound" in buoy("status")[1]


def test_a_silent_store_ends_with_3(store: MemoryStore, buoy: Buoy) -> None:
    store.away = True
    assert {3} == {buoy(*words)[0] for words in (("why", SERVICE), ("status",), ("show", "peers"), ("node", "list"))}


def test_status_ends_with_0_if_all_is_well(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, port(), floating(), Node(name=HERE, sessions=(UP,), draining=True), SERVED)
    code, text = buoy("status", "-o", "json")
    assert (0, [(f"node {HERE}", "1/1 sessions, draining", ""), ("addresses", "1 active, 0 down, 0 unbound", "")]) == (
        code,
        [(row["what"], row["value"], row["note"]) for row in json.loads(text)],
    )


@pytest.mark.parametrize(
    ("wrong", "note"),
    [
        (Node(name=HERE, sessions=(DOWN,)), "not established: peer_tor (Active)"),
        (
            Node(name=HERE, sessions=(replace(DOWN, error="Bad peer AS"),)),
            "not established: peer_tor (Active: Bad peer AS)",
        ),
        (
            Node(name=HERE, sessions=(replace(DOWN, state="Idle"),)),
            "not established: peer_tor (Idle: 192.0.2.254 is in no network that is up; multihop reaches farther)",
        ),
        (Node(name=HERE, held="store b speaks"), "removals held: store b speaks"),
        (Node(name=HERE, problems=("peers/x.asn: 0",)), "not in force: peers/x.asn: 0"),
        (
            AddressStatus(node=HERE, address=SERVICE, state=State.ERROR, reason=Reason.BIRD_AWAY),
            f"bird-away on {HERE}: buoy why {SERVICE}",
        ),
        (port(), f"on {HERE}: systemctl status buoy-agent"),
        (
            ServiceIP(address=SERVICE, pool="gone", endpoints=(), owners=(Owner(kind="Pod", namespace="a", name="b"),)),
            f"1 of its addresses are in use: {SERVICE}; make it again",
        ),
    ],
)
def test_status_ends_with_1_and_names_what_is_wrong(store: MemoryStore, buoy: Buoy, wrong: Document, note: str) -> None:
    hold(store, wrong)
    code, text = buoy("status", "-o", "json")
    assert (1, [note]) == (code, [row["note"] for row in json.loads(text) if not row["ok"]])


def test_a_node_with_peers_and_no_session_is_named(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, Node(name=HERE), Node(name=THERE), Peer(name="t", address=UP.address, asn=64511, nodes=(HERE,)))
    code, text = buoy("status", "-o", "json")
    [wrong] = [row for row in json.loads(text) if not row["ok"]]
    assert (1, f"node {HERE}", True) == (code, wrong["what"], "is BIRD running there?" in wrong["note"])


def test_a_service_that_no_node_announces_is_named_with_its_reason(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, Node(name=HERE), settings(), *EVERYWHERE, balanced(backing(local=True, ready=(HERE,))))
    assert (1, True) == _missed(buoy, "not-verified: what 203.0.113.5 needs on compute-1 was not seen there")
    hold(store, Eligibility(node=HERE, excluded="labelled"))
    assert (1, True) == _missed(buoy, "node-excluded: compute-1 attracts no traffic for Services: labelled")
    assert [PUBLIC] == [row["address"] for row in json.loads(buoy("show", "addresses", "-o", "json")[1])]


def test_a_service_without_endpoints_is_noted_and_is_no_fault(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, Node(name=HERE), settings(), EVERYWHERE[0], balanced(backing(local=True, ready=())))
    code, text = buoy("status", "-o", "json")
    [row] = [row for row in json.loads(text) if row["value"] == "announced nowhere"]
    assert (0, True, True) == (code, row["ok"], row["note"].startswith("no-ready-endpoint: "))


def test_a_cluster_without_a_router_is_told_so(store: MemoryStore, buoy: Buoy) -> None:
    owner = Owner(kind="Service", namespace="shop", name="web")
    hold(store, Node(name=HERE), settings(), EVERYWHERE[0], balanced(owners=(owner,)))
    hold(store, msgspec.structs.replace(SERVED, address=PUBLIC))
    assert (1, ["peers"]) == _wrong(buoy)
    hold(store, Peer(name="tor", address=UP.address, asn=64511), Node(name=HERE, sessions=(UP,)))
    assert (0, []) == _wrong(buoy)


def _wrong(buoy: Buoy) -> tuple[int, list[str]]:
    code, text = buoy("status", "-o", "json")
    return code, [row["what"] for row in json.loads(text) if not row["ok"]]


def _missed(buoy: Buoy, note: str) -> tuple[int, bool]:
    code, text = buoy("status", "-o", "json")
    [row] = [row for row in json.loads(text) if row["value"] == "announced nowhere"]
    return code, row["note"].startswith(note) and row["note"].endswith(f"buoy why {PUBLIC}")


def beat(*, ago: float = 0, **said: float) -> Writer:
    """Return what Neutron said so many seconds ago."""
    beaten = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(seconds=ago)
    return Writer(name="neutron", beaten=beaten, interval=15.0, patience=10.0, **said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "code", "value"),
    [
        (beat, 0, "0 changes wait"),
        (lambda: beat(ago=20, waiting=7, oldest=9.9), 0, "7 changes wait"),
        (lambda: beat(waiting=7, oldest=34.2), 1, "7 changes wait, the oldest for 34 s"),
        (lambda: Pool(name="public", prefixes=(), registry=Registry.NEUTRON), 1, "no heartbeat"),
    ],
)
def test_status_says_what_of_neutron_waits(
    store: MemoryStore, buoy: Buoy, said: Callable[[], Document], code: int, value: str
) -> None:
    hold(store, said())
    ended, text = buoy("status", "-o", "json")
    assert (code, ["neutron", value, code == 0]) == (
        ended,
        [json.loads(text)[0][key] for key in ("what", "value", "ok")],
    )


def test_status_says_since_when_neutron_is_silent(store: MemoryStore, buoy: Buoy) -> None:
    last = beat(ago=60)
    hold(store, last)
    code, text = buoy("status", "-o", "json")
    since = last.beaten.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (1, f"no heartbeat since {since}") == (code, json.loads(text)[0]["value"])
    assert "systemctl status neutron-server" in json.loads(text)[0]["note"]


def test_status_says_nothing_of_neutron_where_there_is_none(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, Pool(name="own", prefixes=()))
    assert ["addresses"] == [row["what"] for row in json.loads(buoy("status", "-o", "json")[1])]


def test_status_gives_prometheus_what_waits(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, beat(waiting=7, oldest=34.2))
    code, text = buoy("status", "--metrics")
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert (0, ['buoy_outbox_rows{writer="neutron"} 7', 'buoy_outbox_oldest_seconds{writer="neutron"} 34.2']) == (
        code,
        samples[:2],
    )


def test_a_document_nobody_can_read_is_in_status(store: MemoryStore, buoy: Buoy) -> None:
    store.put_raw({"peers/bad": b"{"})
    code, text = buoy("status")
    assert (1, True) == (code, "document peers/bad" in text)


def test_what_is_left_at_its_default_is_shown_too(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, port(), floating(), SERVED)
    [claim] = json.loads(buoy("show", "service-ips", "-o", "json")[1])
    assert ("translated", "both", [FIXED], [HERE], "active") == (
        claim["mode"],
        claim["direction"],
        claim["targets"],
        claim["nodes"],
        claim["state"],
    )
    [workload] = json.loads(buoy("show", "workloads", "-o", "json", "--node", HERE)[1])
    assert (True, [FIXED]) == (workload["port_security"], workload["fixed_ips"])


def test_a_password_is_shown_to_nobody(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, Peer(name="tor", address=Address("192.0.2.254"), asn=64511, password="open"))
    assert ["(hidden)"] == [peer["password"] for peer in json.loads(buoy("show", "peers", "-o", "json")[1])]


def test_a_living_node_is_not_fenced(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, Node(name=THERE), floating(), Node(name=HERE), SERVED, LEFT)
    for words in (("node", "fence", THERE), ("node", "fence", THERE, "--dry-run")):
        code, text = buoy(*words)
        assert (4, True) == (code, "has a living agent" in text)


def test_a_fence_settles_what_an_old_node_never_confirmed(store: MemoryStore, buoy: Buoy) -> None:
    hold(store, floating(), Node(name=HERE), SERVED, LEFT)
    assert (0, f"would fence {THERE}\n") == buoy("node", "fence", THERE, "--dry-run")
    assert (1, True) == _why(buoy)
    assert 0 == buoy("node", "fence", THERE, "--reason", "burnt")[0]
    assert (0, False) == _why(buoy)
    assert 0 == buoy("node", "unfence", THERE)[0]
    assert (1, True) == _why(buoy)


def _why(buoy: Buoy) -> tuple[int, bool]:
    code, text = buoy("why", SERVICE)
    return code, f"{THERE} has not confirmed that it withdrew {SERVICE}" in text


def test_without_an_agent_its_questions_say_how_to_start_it(buoy: Buoy) -> None:
    for words in (("plan",), ("audit",), ("agent", "drain"), ("agent", "undrain"), ("agent", "release-guard")):
        code, text = buoy(*words)
        assert (2, True) == (code, "systemctl status buoy-agent" in text)
