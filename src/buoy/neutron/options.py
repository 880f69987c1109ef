# SPDX-License-Identifier: Apache-2.0
"""The `[buoy]` section of neutron.conf, and the store it names."""

from oslo_config import cfg

from buoy.store.settings import StoreSettings

GROUP = "buoy"

OPTIONS = (
    cfg.ListOpt("endpoints", default=["http://127.0.0.1:2379"], help="etcd members, as http(s)://host:port"),
    cfg.StrOpt("ca", default="", help="file: CA certificate that etcd's is checked against"),
    cfg.StrOpt("cert", default="", help="file: client certificate"),
    cfg.StrOpt("key", default="", help="file: key of the client certificate"),
    cfg.StrOpt("username", default="", help="etcd user; empty: no authentication by password"),
    cfg.StrOpt("password_file", default="", help="file: the user's password"),
    cfg.ListOpt("network_types", default=["local", "flat"], help="types of networks whose ports Buoy binds"),
    cfg.FloatOpt(
        "compare_interval", default=600.0, min=1.0, help="seconds between full comparisons with the store, statuses too"
    ),
    cfg.FloatOpt(
        "heartbeat_interval", default=15.0, min=0.1, help="seconds between updates of the agents' rows and of our own"
    ),
    cfg.FloatOpt(
        "outbox_patience", default=10.0, min=0.1, help="seconds a change may wait for etcd before the log warns of it"
    ),
)


def register(conf: cfg.ConfigOpts) -> None:
    """Make `conf.buoy` readable; may be called again."""
    conf.register_opts(OPTIONS, GROUP)


def store_settings(conf: cfg.ConfigOpts) -> StoreSettings:
    """Return where the store is."""
    section = conf[GROUP]
    return StoreSettings(
        # host:port alone is what etcd's own tools take
        endpoints=tuple(one if "://" in one else f"http://{one}" for one in section.endpoints),
        ca=section.ca,
        cert=section.cert,
        key=section.key,
        username=section.username,
        password_file=section.password_file,
    )
