# SPDX-License-Identifier: Apache-2.0
"""Booting a guest as Nova boots a VM: port, tap, wait for ACTIVE, start; and the same backwards.

Whatever fails or is interrupted in between, what was made here is unmade, in the
reverse order; a port that was given is only unbound.
"""

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import msgspec

from buoy.lab.control import LabError
from buoy.lab.lab import Lab
from buoy.lab.launch import deferred, undisturbed
from buoy.lab.neutron_api import NeutronApi
from buoy.lab.place import check_name

_ACTIVE_SECONDS, _ADDRESS_SECONDS, _QEMU_SECONDS = 60.0, 15.0, 90.0
_TAP_NAME = 14
"""``tap`` and the first eleven characters of the port's id, as Nova and Neutron agree."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to boot; `host` empty lets the lab choose, `port` empty makes one on `network`."""

    name: str
    network: str = ""
    host: str = ""
    port: str = ""
    qemu: bool = False
    wait_for_addresses: bool = True


def _nothing() -> None:
    """Do nothing."""


def boot(lab: Lab, wish: Wish, tell: Callable[[str], None], done: Callable[[], None] = _nothing) -> dict[str, Any]:
    """Boot a guest and return what it is, with its ``addresses``; raise `LabError`, leaving nothing.

    `tell` hears what is waited for; `done` is called last: before, an interrupt unmakes everything.
    """
    check_name(wish.name, "NAME")
    neutron = api(lab)
    status = lab.status()
    host = _host(status, wish.host)
    if wish.name in _names(status):
        raise LabError(f"there is already a machine called {wish.name}; choose another name or delete it")
    with ExitStack() as undo:
        try:
            with deferred():
                port = _bind(neutron, wish, host, undo)
            addresses = [one["ip_address"] for one in port["fixed_ips"]]
            with deferred():
                lab.plug(
                    name=wish.name, node=host, interface=f"tap{port['id']}"[:_TAP_NAME], mac=port["mac_address"],
                    port=port["id"], addresses=addresses, qemu=wish.qemu,
                )  # fmt: skip
                undo.callback(lab.unplug, wish.name)
            neutron.wait_active(port["id"], _ACTIVE_SECONDS, lambda state: tell(f"port {port['id']} is {state}"))
            lab.start_guest(wish.name)
            missing = _await_addresses(lab, wish, addresses, tell) if wish.wait_for_addresses else []
            done()
        except BaseException:
            with undisturbed():
                undo.close()
            raise
        undo.pop_all()
    return {**_named(lab.status(), wish.name), "missing": missing}


def delete(lab: Lab, name: str) -> dict[str, Any]:
    """End a guest, take its tap away and delete its port; return what it was."""
    gone = lab.unplug(name)
    if gone["port"]:
        api(lab).delete_port(gone["port"])
    return gone


def listing(lab: Lab) -> list[dict[str, Any]]:
    """Return the guests with the fixed IPs their ports have now."""
    return [_with_port(lab, guest) for guest in lab.status()["guests"]]


def api(lab: Lab) -> NeutronApi:
    """Return the lab's Neutron; raise `LabError` if the lab is of another kind."""
    try:
        return NeutronApi(lab.env()["OS_ENDPOINT"])
    except KeyError as error:
        raise LabError(f"lab {lab.name} is no OpenStack lab: `buoy lab up openstack`") from error


def _bind(neutron: NeutronApi, wish: Wish, host: str, undo: ExitStack) -> dict[str, Any]:
    bound = {"device_owner": "compute:nova", "device_id": str(uuid.uuid4()), "binding:host_id": host}
    if wish.port:
        port = neutron.port(wish.port)
        if port["device_owner"].startswith("compute:"):
            raise LabError(f"--port {wish.port} is in use by {port['device_id']}; delete that guest first")
        undo.callback(neutron.update_port, port["id"], {"device_owner": "", "device_id": "", "binding:host_id": ""})
        port = neutron.update_port(port["id"], bound)
    elif wish.network:
        network = neutron.network(wish.network)["id"]
        port = neutron.create_port({"network_id": network, "dns_name": wish.name, **bound})
        undo.callback(neutron.delete_port, port["id"])
    else:
        raise LabError("give --network NET or --port PORT")
    if port["binding:vif_type"] in ("binding_failed", "unbound"):
        raise LabError(
            f"no driver could bind the port on {host}: has it a fixed IP? does the agent live? "
            "`openstack network agent list`; `buoy lab logs controller neutron`"
        )
    return port


def _host(status: dict[str, Any], wanted: str) -> str:
    """Return the wanted node, else the one with the fewest guests."""
    hosts: list[str] = [node["name"] for node in status["nodes"] if node["guests"] and node["state"] == "on"]
    if not hosts:
        raise LabError("no node is on where guests can be: `buoy lab node start NODE`")
    if wanted:
        if wanted not in hosts:
            raise LabError(f"--host {wanted}: guests can be on {', '.join(hosts)}")
        return wanted
    used = [guest["node"] for guest in status["guests"]]
    return min(hosts, key=used.count)


def _await_addresses(lab: Lab, wish: Wish, wanted: list[str], tell: Callable[[str], None]) -> list[str]:
    """Wait until the guest has taken its addresses; return those it did not take in time."""
    deadline = time.monotonic() + (_QEMU_SECONDS if wish.qemu else _ADDRESS_SECONDS)
    while True:
        shown = _console(lab, wish.name) if wish.qemu else _addresses(lab, wish.name)
        has = {word.partition("/")[0] for word in shown.split() if "/" in word}
        missing = [address for address in wanted if address not in has]
        if not missing or time.monotonic() > deadline:
            return missing
        tell(f"{wish.name} waits for {', '.join(missing)}")
        time.sleep(0.1)


def _addresses(lab: Lab, name: str) -> str:
    return lab.exec(name, "ip", "-o", "address", "show", "dev", "eth0", "-tentative", check=False).stdout


def _console(lab: Lab, name: str) -> str:
    """Return what a QEMU guest last told of its addresses."""
    [log] = lab.log_files(name, "console")
    told = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("addresses:")]
    return told[-1] if told else ""


def _with_port(lab: Lab, guest: dict[str, Any]) -> dict[str, Any]:
    if not guest["port"]:
        return guest
    try:
        port = api(lab).port(guest["port"])
    except LabError:
        return {**guest, "port_state": "unknown"}
    return {**guest, "addresses": [one["ip_address"] for one in port["fixed_ips"]], "port_state": port["status"]}


def _names(status: dict[str, Any]) -> set[str]:
    return {one["name"] for one in (*status["nodes"], *status["guests"])}


def _named(status: dict[str, Any], name: str) -> dict[str, Any]:
    [guest] = [one for one in status["guests"] if one["name"] == name]
    return dict(guest)
