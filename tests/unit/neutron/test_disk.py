# SPDX-License-Identifier: Apache-2.0
"""A disk that is full: changes are refused whole, reading goes on."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from buoy.neutron import disk


def served(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"served"]


def asked(application: disk.Application, method: str) -> tuple[str, bytes]:
    statuses: list[str] = []
    body = b"".join(application({"REQUEST_METHOD": method}, lambda status, headers: statuses.append(status)))
    return statuses[0], body


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_with_room_enough_everything_is_served(tmp_path: Path, method: str) -> None:
    assert ("200 OK", b"served") == asked(disk.guarded(served, tmp_path, reserve=1), method)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_without_room_a_change_is_refused_with_directory_and_remedy(tmp_path: Path, method: str) -> None:
    reserve = shutil.disk_usage(tmp_path).total + 1024**3
    status, body = asked(disk.guarded(served, tmp_path, reserve), method)
    assert "507 Insufficient Storage" == status
    message = json.loads(body)["NeutronError"]["message"]
    assert f"The disk of {tmp_path} is full, nothing was changed. Leave {reserve >> 20} MiB free" in message


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_without_room_what_is_there_is_still_read(tmp_path: Path, method: str) -> None:
    reserve = shutil.disk_usage(tmp_path).total + 1024**3
    assert ("200 OK", b"served") == asked(disk.guarded(served, tmp_path, reserve), method)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:////var/lib/neutron/neutron.sqlite", Path("/var/lib/neutron/neutron.sqlite")),
        ("sqlite+pysqlite:////var/lib/n.sqlite", Path("/var/lib/n.sqlite")),
        ("sqlite://", None),
        ("mysql+pymysql://neutron:secret@192.0.2.1:3306/neutron", None),
    ],
)
def test_only_a_file_of_sqlite_is_looked_after(url: str, file: Path | None) -> None:
    assert file == disk.file_of(url)


def test_a_database_kept_open_keeps_the_files_that_readers_need(tmp_path: Path) -> None:
    file = tmp_path / "neutron.sqlite"
    with closing(sqlite3.connect(file)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE one (number)")
    assert ["neutron.sqlite"] == [each.name for each in tmp_path.iterdir()]
    with closing(disk.keep_open(file)):
        with closing(sqlite3.connect(file)) as other:
            other.execute("INSERT INTO one VALUES (1)")
            other.commit()
        assert {"neutron.sqlite", "neutron.sqlite-shm", "neutron.sqlite-wal"} == {
            each.name for each in tmp_path.iterdir()
        }
