# SPDX-License-Identifier: Apache-2.0
"""Compare Neutron's database with the store now: `python -m buoy.neutron.compare_now --config-file FILE`.

Promises: prints what differs and asks for its repair through the outbox; without
`--confirm` a suspicious number of orphans is only shown. Exit code 0: all equal,
1: differences (repair asked for), 2: orphans kept for want of `--confirm`, 3: the
comparison could not be made, and standard error says why. No etcd is waited for.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from neutron.common import config as neutron_config
from neutron.db.migration.models import head  # noqa: F401  the models refer to each other by name
from oslo_config import cfg
from oslo_db.exception import DBError
from sqlalchemy.exc import SQLAlchemyError

from buoy.model.errors import BuoyError, StoreUnavailable
from buoy.neutron import options, sqlite, table
from buoy.neutron.compare import Difference
from buoy.neutron.reader import Reader
from buoy.neutron.worker import look
from buoy.store.opening import open_store

EQUAL, REPAIRED, KEPT, UNKNOWN = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print and mark; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m buoy.neutron.compare_now", description="Compare with the store.")
    parser.add_argument("--config-file", action="append", required=True, help="neutron.conf; may be given again")
    parser.add_argument("--confirm", action="store_true", help="delete orphans however many they are")
    parsed = parser.parse_args(arguments)
    try:
        _configure(parsed.config_file)
        return _compare(confirmed=parsed.confirm)
    except StoreUnavailable as error:
        print(f"not compared: {error}; what etcd says of itself: buoy store status", file=sys.stderr)  # noqa: T201
    except (BuoyError, cfg.Error, DBError, SQLAlchemyError) as error:
        print(f"not compared: {error}", file=sys.stderr)  # noqa: T201
    return UNKNOWN


def _compare(*, confirmed: bool) -> int:
    difference = asyncio.run(_look())
    _print(difference)
    table.mark(difference.repairs | (difference.orphan if confirmed else frozenset()))
    if difference.suspicious and not confirmed:
        print(f"{len(difference.orphan)} orphans are kept: run again with --confirm to delete them")  # noqa: T201
        return KEPT
    return REPAIRED if difference.missing | difference.stale | difference.orphan else EQUAL


def _configure(files: Sequence[str]) -> None:
    sqlite.install()
    options.register(cfg.CONF)
    neutron_config.register_common_config_options()
    neutron_config.init([word for name in files for word in ("--config-file", name)])


async def _look() -> Difference:
    store = open_store(options.store_settings(cfg.CONF), _give_up)
    try:
        return await look(store, Reader(cfg.CONF.buoy.network_types))
    finally:
        await store.close()


def _give_up(error: StoreUnavailable | None) -> None:
    """A watch waits for ever; whoever runs this, a person or a timer, can run it again."""
    if error is not None:
        raise error


def _print(difference: Difference) -> None:
    for word, paths in (("missing", difference.missing), ("stale", difference.stale), ("orphan", difference.orphan)):
        for path in sorted(paths):
            print(f"{word:8}{path}")  # noqa: T201
    print(difference)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
