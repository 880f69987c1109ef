# SPDX-License-Identifier: Apache-2.0
"""As much of Neutron's API as Nova uses: ports, networks by name, bindings.

Speaks HTTP without authentication, as the lab's Neutron does.
"""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from buoy.lab.control import LabError

_SECONDS = 60.0


class NeutronApi:
    """The API at ``http://host:port``; every method raises `LabError` with Neutron's own words if it says no."""

    def __init__(self, endpoint: str) -> None:
        self._host = endpoint.removeprefix("http://")

    def network(self, name: str) -> dict[str, Any]:
        """Return the one network of that id or name."""
        by_id = self._ask("GET", f"/v2.0/networks?id={quote(name)}")["networks"]
        found = by_id or self._ask("GET", f"/v2.0/networks?name={quote(name)}")["networks"]
        if len(found) != 1:
            names = ", ".join(sorted(one["name"] for one in self._ask("GET", "/v2.0/networks")["networks"])) or "none"
            raise LabError(f"--network {name}: {len(found)} networks are called so; there are {names}")
        return dict(found[0])

    def port(self, name: str) -> dict[str, Any]:
        """Return the one port of that id or name."""
        for key in ("id", "name"):
            found = self._ask("GET", f"/v2.0/ports?{key}={quote(name)}")["ports"]
            if len(found) == 1:
                return dict(found[0])
        raise LabError(f"--port {name}: there is not exactly one port called so; `openstack port list` shows them")

    def create_port(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Create a port and return it."""
        return dict(self._ask("POST", "/v2.0/ports", {"port": dict(fields)})["port"])

    def update_port(self, port: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Change a port and return it."""
        return dict(self._ask("PUT", f"/v2.0/ports/{port}", {"port": dict(fields)})["port"])

    def delete_port(self, port: str) -> None:
        """Delete a port; one that is gone already is a success."""
        try:
            self._ask("DELETE", f"/v2.0/ports/{port}")
        except LabError as error:
            if "PortNotFound" not in str(error):
                raise

    def wait_active(self, port: str, timeout: float, waiting: Callable[[str], None]) -> dict[str, Any]:
        """Wait until a port is ACTIVE and return it; `waiting` hears its status while it is not."""
        deadline = time.monotonic() + timeout
        while True:
            now = dict(self._ask("GET", f"/v2.0/ports/{port}")["port"])
            if now["status"] == "ACTIVE":
                return now
            if time.monotonic() > deadline:
                host, vif_type = now["binding:host_id"] or "no host", now["binding:vif_type"]
                raise LabError(
                    f"port {port} is {now['status']} after {timeout:g} s, bound as {vif_type} on {host}: "
                    "`buoy why` of its address says there what is missing"
                )
            waiting(now["status"])
            time.sleep(0.05)

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._host, timeout=_SECONDS)
        try:
            text = json.dumps(body) if body is not None else None
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            raw = response.read()
        except OSError as error:
            raise LabError(f"Neutron does not answer ({error}): `buoy lab logs controller neutron`") from error
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            raise LabError(f"Neutron says {response.status}: {_words(raw)}")
        return dict(json.loads(raw)) if raw else {}


def _words(raw: bytes) -> str:
    try:
        error = json.loads(raw)["NeutronError"]
        return f"{error['type']}: {error['message']}" if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError):
        return raw.decode(errors="replace")[:500]
