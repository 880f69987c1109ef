# SPDX-License-Identifier: Apache-2.0
"""The view: raw bytes in, snapshots and exact differences out."""

from buoy.model.address import Prefix
from buoy.model.documents import encode
from buoy.model.pool import Pool
from buoy.model.snapshot import Identity
from buoy.store.view import Event, View

HERE = Identity("test", 9)


def raw(name: str, text: str = "") -> bytes:
    return encode(Pool(name=name, prefixes=(Prefix("192.0.2.0/24"),), description=text))


def put(name: str, revision: int, text: str = "") -> Event:
    return Event(f"pools/{name}", raw(name, text), revision)


def texts(view: View) -> dict[str, str]:
    return {path: pool.description for path, pool in view.snapshot(HERE).documents.items() if isinstance(pool, Pool)}


def test_events_are_taken_in_order() -> None:
    view = View()
    assert view.apply([put("a", 1, "x"), put("b", 2), Event("pools/b", None, 3), put("a", 4, "y")]) == frozenset(
        {"pools/a", "pools/b"}
    )
    assert texts(view) == {"pools/a": "y"}
    assert view.snapshot(HERE).revisions == {"pools/a": 4}


def test_deleting_what_is_not_held_is_told_and_changes_nothing() -> None:
    view = View()
    assert view.apply([Event("pools/a", None, 1)]) == frozenset({"pools/a"})
    assert texts(view) == {}


def test_a_listing_tells_what_was_added_changed_and_deleted_and_nothing_else() -> None:
    view = View()
    view.replace([put("same", 1), put("changed", 2, "x"), put("gone", 3)])
    changed = view.replace([put("same", 1), put("changed", 5, "y"), put("added", 6)])
    assert changed == frozenset({"pools/changed", "pools/gone", "pools/added"})
    assert texts(view) == {"pools/same": "", "pools/changed": "y", "pools/added": ""}


def test_a_suspect_listing_is_compared_by_content_not_by_revision() -> None:
    view = View()
    view.replace([put("a", 1, "x"), put("b", 2)])
    assert view.replace([put("a", 1, "other"), put("b", 2)], suspect=True) == frozenset({"pools/a"})
    assert texts(view) == {"pools/a": "other", "pools/b": ""}


def test_an_unreadable_document_leaves_the_last_readable_one_in_force_and_is_told() -> None:
    view = View()
    view.apply([put("a", 1, "readable")])
    assert view.apply([Event("pools/a", b'{"schema":1,"name":"a","prefixes":"x"}', 2)]) == frozenset({"pools/a"})
    snapshot = view.snapshot(HERE)
    assert texts(view) == {"pools/a": "readable"}
    assert snapshot.revisions == {"pools/a": 1}
    assert "prefixes" in snapshot.broken["pools/a"]
    assert "rewrite it as Pool" in snapshot.broken["pools/a"]


def test_a_document_written_readably_again_is_no_longer_broken() -> None:
    view = View()
    view.apply([Event("pools/a", b"{", 1)])
    assert set(view.snapshot(HERE).broken) == {"pools/a"}
    view.apply([put("a", 2, "x")])
    assert (texts(view), dict(view.snapshot(HERE).broken)) == ({"pools/a": "x"}, {})


def test_deleting_a_broken_document_ends_the_last_readable_one_too() -> None:
    view = View()
    view.apply([put("a", 1), Event("pools/a", b"{", 2)])
    view.apply([Event("pools/a", None, 3)])
    assert (texts(view), dict(view.snapshot(HERE).broken)) == ({}, {})


def test_a_broken_document_listed_again_is_no_change() -> None:
    view = View()
    view.apply([put("a", 1, "x"), Event("pools/a", b"{", 2)])
    assert view.replace([Event("pools/a", b"{", 2)]) == frozenset()
    assert view.replace([Event("pools/a", b"{", 2)], suspect=True) == frozenset()
    assert texts(view) == {"pools/a": "x"}


def test_a_document_under_another_path_or_of_no_kind_is_broken() -> None:
    view = View()
    view.apply([Event("pools/b", raw("a"), 1), Event("unknown/x", b"{}", 2)])
    broken = view.snapshot(HERE).broken
    assert "must stand under the path it names" in broken["pools/b"]
    assert "delete the key" in broken["unknown/x"]


def test_a_snapshot_is_live_and_cannot_be_written() -> None:
    view = View()
    documents = view.snapshot(HERE).documents
    view.apply([put("a", 1)])
    assert set(documents) == {"pools/a"}
    assert not hasattr(documents, "__setitem__")
