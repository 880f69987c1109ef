# SPDX-License-Identifier: Apache-2.0
"""Serve Neutron's API from one process: `python -m buoy.neutron.server --config-file FILE --port 9696`.

Promises: prepares the database, serves, and runs Neutron's periodic jobs as
threads. The tricky thing is the order: importing `neutron.wsgi.api` parses
`sys.argv` and starts everything, so it is imported last, with Neutron's own
arguments only. Nothing is to be done at the end: kill it.
"""

import argparse
import contextlib
import importlib
import sys
from collections.abc import Sequence

from oslo_config import cfg
from oslo_db import options as database_options
from sqlalchemy import orm

from buoy.neutron import database, disk, sqlite

THREADS = 8
"""Requests served at once; more only wait for the database's write lock and Python's."""

_CONNECTIONS = 1000
_IDLE_SECONDS = 300


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until killed; exits with a message if the configuration or the database is wrong."""
    options = _parser().parse_args(arguments)
    neutron_arguments = [word for name in options.config_file for word in ("--config-file", name)]
    url = _database_url(neutron_arguments)
    database.prepare(url)
    sqlite.install()
    # the first query would do it, for half a second, and a port list beside it would miss `Port.port_forwardings`
    orm.configure_mappers()
    sys.argv = ["neutron-api", *neutron_arguments]
    application = importlib.import_module("neutron.wsgi.api").application
    # the first request would load it, and others beside it would meet half of the rules and be forbidden
    importlib.import_module("neutron.policy").init()
    start_periodic_jobs()
    file = disk.file_of(url)
    if file is None:
        _serve(application, options)
        return
    with contextlib.closing(disk.keep_open(file)):
        _serve(disk.guarded(application, file.parent), options)


def start_periodic_jobs() -> None:
    """Run what `neutron-periodic-workers` runs as threads of this process: quota, L3 janitor, agent health."""
    service = importlib.import_module("neutron.service")
    for worker in service._get_plugins_workers():  # noqa: SLF001  stock Neutron has no public name for it
        if worker.worker_process_count == 0:
            worker.set_proctitle = "off"
            worker.start()


def _serve(application: object, options: argparse.Namespace) -> None:
    waitress = importlib.import_module("waitress")
    print(f"neutron: serving on http://{options.host}:{options.port}", file=sys.stderr, flush=True)  # noqa: T201
    waitress.serve(
        application,
        host=options.host,
        port=options.port,
        threads=options.threads,
        connection_limit=_CONNECTIONS,
        channel_timeout=_IDLE_SECONDS,
        ident=None,
    )


def _database_url(arguments: Sequence[str]) -> str:
    """Read one option without touching the global configuration, which Neutron parses itself later."""
    conf = cfg.ConfigOpts()
    conf.register_opts(database_options.database_opts, "database")
    conf(list(arguments), project="neutron")
    return str(conf.database.connection)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m buoy.neutron.server", description="Serve Neutron's API.")
    parser.add_argument("--config-file", action="append", required=True, help="neutron.conf; may be given again")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9696, help="port to listen on (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=THREADS, help="requests at once (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main()
