# SPDX-License-Identifier: Apache-2.0
"""`buoy peer`, `filter`, `bgp` and `apply` on a store: what is written, and what is refused before anything is."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from buoy.cli import bgp_documents, bgp_options
from buoy.cli.apply import wishes
from buoy.cli.filters import parse_rule, rule_text
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document, path
from buoy.model.errors import Conflict, InvalidInput
from buoy.model.node import Node, PeerSession
from buoy.model.peer import Action, Bfd, BGPSettings, Filter, FilterRule, Peer, Tagged
from buoy.store.memory import MemoryStore
from buoy.store.store import Write

TOR = Peer(name="tor", address=Address("192.0.2.1"), asn=64999, password="secret", bfd=Bfd())
FEW = Filter(name="few", rules=(FilterRule(action=Action.REJECT, prefix=Prefix("198.51.100.0/24")),))


async def _holding(*documents: Document) -> MemoryStore:
    store = MemoryStore()
    await store.write([Write(path(each), each, 0) for each in documents])
    return store


async def _stored(store: MemoryStore, at: str) -> Document | None:
    return (await store.read(at)).document


async def test_a_peer_is_added_once() -> None:
    store = await _holding()

    assert await bgp_documents.put(store, TOR, new=True, dry_run=False) == "peers/tor created"
    assert await _stored(store, "peers/tor") == TOR
    with pytest.raises(Conflict, match="peers/tor exists"):
        await bgp_documents.put(store, TOR, new=True, dry_run=False)


async def test_only_what_exists_can_be_changed_or_deleted() -> None:
    store = await _holding()

    with pytest.raises(Conflict, match="peers/tor does not exist: `buoy peer list`"):
        await bgp_documents.put(store, TOR, new=False, dry_run=False)
    with pytest.raises(Conflict, match="peers/tor does not exist"):
        await bgp_documents.remove(store, "peers/tor", dry_run=False)
    with pytest.raises(Conflict, match="peers/tor does not exist"):
        await bgp_documents.read(store, "peers/tor")
    assert await bgp_documents.put(store, BGPSettings(asn=64600), new=False, dry_run=False) == "settings/bgp created"


async def test_a_dry_run_says_what_it_would_do_and_writes_nothing() -> None:
    store = await _holding(FEW)

    assert await bgp_documents.put(store, TOR, new=True, dry_run=True) == "peers/tor would be created"
    assert await bgp_documents.remove(store, "filters/few", dry_run=True) == "filters/few would be deleted"
    assert (await _stored(store, "peers/tor"), await _stored(store, "filters/few")) == (None, FEW)


async def test_a_filter_that_a_peer_uses_stays() -> None:
    store = await _holding(FEW, Peer(name="tor", address=Address("192.0.2.1"), asn=64999, import_filter="few"))

    with pytest.raises(Conflict, match="filters/few is used by peers/tor"):
        await bgp_documents.remove(store, "filters/few", dry_run=False)
    assert await bgp_documents.remove(store, "peers/tor", dry_run=False) == "peers/tor deleted"
    assert await bgp_documents.remove(store, "filters/few", dry_run=False) == "filters/few deleted"


async def test_a_broken_document_can_be_deleted() -> None:
    store = await _holding()
    store.put_raw({"peers/tor": b"nonsense"})

    assert await bgp_documents.remove(store, "peers/tor", dry_run=False) == "peers/tor deleted"


async def test_a_file_is_written_as_a_whole_or_not_at_all() -> None:
    store = await _holding(FEW)
    good: dict[str, Document] = {path(each): each for each in (TOR, FEW)}
    bad = Peer(name="bad", address=Address("192.0.2.2"), asn=0)

    with pytest.raises(InvalidInput, match=r"peers/bad.asn"):
        await bgp_documents.put_all(store, {**good, "peers/bad": bad}, dry_run=False)
    assert await _stored(store, "peers/tor") is None
    assert await bgp_documents.put_all(store, good, dry_run=False) == ["filters/few unchanged", "peers/tor created"]


async def test_settings_that_break_a_peer_in_the_store_are_refused() -> None:
    client = Peer(name="client", address=Address("192.0.2.1"), asn=64512, reflector_client=True)
    store = await _holding(client)

    with pytest.raises(InvalidInput, match=r"peers/client.reflector_client"):
        await bgp_documents.put(store, BGPSettings(asn=64600), new=False, dry_run=False)


async def test_what_was_wrong_before_hinders_only_what_it_is_part_of() -> None:
    lost = Peer(
        name="lost", address=Address("192.0.2.9"), asn=64999, export_filter="f.export", import_filter="f.import"
    )
    store = await _holding(lost, FEW)

    assert "peers/tor created" == await bgp_documents.put(store, TOR, new=True, dry_run=False)
    assert "settings/bgp created" == await bgp_documents.put(store, BGPSettings(asn=64600), new=False, dry_run=False)
    assert "filters/f.import created" == await bgp_documents.put(
        store, Filter(name="f.import"), new=True, dry_run=False
    )
    with pytest.raises(InvalidInput, match=r"peers/lost.export_filter.*kubectl apply a BGPFilter f$"):
        await bgp_documents.put(store, msgspec.structs.replace(lost, port=1179), new=False, dry_run=False)
    assert lost == await _stored(store, "peers/lost")


async def test_a_peer_is_listed_with_the_sessions_nodes_report_and_without_its_password() -> None:
    up = PeerSession(name="peer_tor", address=TOR.address, asn=64999, state="Established", exported=3)
    down = PeerSession(name="peer_tor", address=TOR.address, asn=64999, state="Active", error="refused")
    other = PeerSession(name="node_x_v4", address=Address("192.0.2.9"), asn=64512, state="Established")
    store = await _holding(TOR, Node(name="one", sessions=(up, other)), Node(name="two", sessions=(down,)))

    (row,) = await bgp_documents.peer_rows(store, "tor")

    assert (row["established"], row["password"], row["bfd"]) == (
        "1/2",
        "(hidden)",
        {"interval": 100, "multiplier": 3, "graceful": False},
    )
    assert [(each["node"], each["state"]) for each in row["sessions"]] == [("one", "Established"), ("two", "Active")]
    assert bgp_documents.plain(TOR, reveal=True)["password"] == "secret"
    with pytest.raises(Conflict):
        await bgp_documents.peer_rows(store, "nobody")


def _given(**options: object) -> dict[str, Any]:
    nothing = dict.fromkeys(("bfd", "bfd_interval", "bfd_multiplier", "bfd_graceful", "password", "password_file"))
    return {**nothing, **options}


def test_options_become_fields_in_canonical_form_and_empty_ones_clear() -> None:
    given = _given(address="2001:DB8::1", asn=None, nodes=[""], multihop=0, source="", passive=False, dry_run=True)

    assert bgp_options.fields(given, Peer) == {
        "address": "2001:db8::1",
        "nodes": (),
        "multihop": None,
        "source": None,
        "passive": False,
    }
    tagged = Tagged(prefix=Prefix("198.51.100.0/24"), communities=("64512:100", "1:2:3"))
    given = _given(communities=["198.51.100.0/24=64512:100,1:2:3"])
    assert bgp_options.fields(given, BGPSettings) == {"communities": (tagged,)}
    for text in ("198.51.100.0/24", "198.51.100.0/24=,", "64512:100=1:2"):
        with pytest.raises(InvalidInput, match="--community"):
            bgp_options.fields(_given(communities=[text]), BGPSettings)
    prefixes = _given(originate=["198.51.100.0/24"], internal_prefixes=[""])
    assert bgp_options.fields(prefixes, BGPSettings) == {"originate": ("198.51.100.0/24",), "internal_prefixes": ()}
    with pytest.raises(InvalidInput, match="--source"):
        bgp_options.fields(_given(source="here"), Peer)


def test_bfd_is_switched_on_by_any_of_its_options_and_off_by_one() -> None:
    assert bgp_options.bfd(_given(), None) is None
    assert bgp_options.bfd(_given(), Bfd(interval=50)) == Bfd(interval=50)
    assert bgp_options.bfd(_given(bfd=True), None) == Bfd()
    assert bgp_options.bfd(_given(bfd_multiplier=5), Bfd(interval=50)) == Bfd(interval=50, multiplier=5)
    assert bgp_options.bfd(_given(bfd_interval=70), Bfd(multiplier=5)) == Bfd(interval=70, multiplier=5)
    assert bgp_options.bfd(_given(bfd_graceful=True), Bfd(interval=50)) == Bfd(interval=50, graceful=True)
    assert bgp_options.bfd(_given(bfd=False), Bfd()) is None
    with pytest.raises(InvalidInput, match="--no-bfd"):
        bgp_options.bfd(_given(bfd=False, bfd_interval=50), None)


def test_a_password_comes_from_an_option_or_a_file_or_stays(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from file\n")

    assert bgp_options.password(_given(), "old") == "old"
    assert bgp_options.password(_given(password=""), "old") == ""
    assert bgp_options.password(_given(password_file=str(file)), "old") == "from file"
    with pytest.raises(InvalidInput, match="--password-file"):
        bgp_options.password(_given(password_file=str(tmp_path / "none")), "old")
    with pytest.raises(InvalidInput, match="give one of the two"):
        bgp_options.password(_given(password="x", password_file=str(file)), "old")


@pytest.mark.parametrize("text", ["accept 192.0.2.0/24 24..32", "reject ::/0 0..64", "reject 192.0.2.7/32 32..32"])
def test_a_rule_is_printed_as_it_is_written(text: str) -> None:
    assert rule_text(parse_rule(text)) == text


@pytest.mark.parametrize("text", ["", "allow all", "accept", "accept 192.0.2.0/24 24", "accept 192.0.2.1/24"])
def test_a_rule_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="RULE"):
        parse_rule(text)


def test_a_file_holds_what_an_operator_may_write_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "peers.yaml"
    file.write_text("- {kind: Peer, name: tor, address: 192.0.2.1, asn: 64999}\n- {kind: Filter, name: few}\n")
    assert sorted(wishes(file)) == ["filters/few", "peers/tor"]

    file.write_text("kind: Network\nid: n\n")
    with pytest.raises(InvalidInput, match="Neutron writes this"):
        wishes(file)
    file.write_text("")
    with pytest.raises(InvalidInput, match="at least one document"):
        wishes(file)
