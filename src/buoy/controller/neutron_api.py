# SPDX-License-Identifier: Apache-2.0
"""Neutron's REST API, as far as ports that keep addresses need it.

Promises that a list is whole or an error, that a call is over after `DEADLINE`, and that nothing is written over what
was not read (`If-Match`). The tricky thing is the token: it stands in a file that somebody else keeps good, so it is
read for every call. What is no token, or no answer of Neutron's, is said like Neutron's absence: other pools go on.

Source: Networking API v2.0; the extensions standard-attr-revisions and revision-if-match.
"""

import contextlib
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec

from buoy.controller.neutron_ports import NeutronAway, NeutronRefused, Port, port_of
from buoy.model.address import Address
from buoy.model.errors import InvalidInput
from buoy.model.ownership import NEUTRON_DEVICE_OWNER

DEADLINE = 60.0
"""Seconds for one call."""
PAGE = 500
_TOKEN = re.compile(rb"[!-~]+")
_FIELDS = ("id", "name", "fixed_ips", "revision_number")
_GONE, _REFUSED_TOKEN, _OVERLOADED = 404, 401, 500


class NeutronSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where Neutron is; `endpoint` empty: there is none. No token file: it asks for no token."""

    endpoint: str = ""
    token_file: str = ""
    ca_file: str = ""
    spare: int = 8
    """How many addresses of each of its pools are kept ready, and bridge its absence."""


def check(settings: NeutronSettings) -> None:
    """Raise `InvalidInput` for settings that cannot work."""
    if settings.endpoint and not settings.endpoint.startswith(("http://", "https://")):
        raise InvalidInput("--neutron-endpoint", settings.endpoint, "give a URL such as http://192.0.2.1:9696")
    if settings.spare < 0:
        raise InvalidInput("--neutron-spare", settings.spare, "give a number from 0 on")
    for option, name in (("--neutron-token-file", settings.token_file), ("--neutron-ca-file", settings.ca_file)):
        if name and not Path(name).is_file():
            raise InvalidInput(option, name, "give the name of a file this process can read")


class NeutronApi:
    """Neutron at an endpoint; to be made and closed within a running loop."""

    def __init__(self, settings: NeutronSettings) -> None:
        self._settings = settings
        self._base = settings.endpoint.rstrip("/").removesuffix("/v2.0") + "/v2.0"
        secure = settings.endpoint.startswith("https://")
        tls = ssl.create_default_context(cafile=settings.ca_file or None) if secure else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=8), timeout=aiohttp.ClientTimeout(total=DEADLINE)
        )
        self._networks: dict[str, str] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def ports(self, cluster: str) -> list[Port]:
        """Return all ports of a cluster, by its uid."""
        query = [("device_owner", NEUTRON_DEVICE_OWNER), ("device_id", cluster), ("limit", str(PAGE))]
        query += [("fields", field) for field in _FIELDS]
        found: list[Port] = []
        marker: list[tuple[str, str]] = []
        while True:
            said = await self._ask("GET", f"/ports?{urlencode([*query, *marker])}")
            with self._reading():
                found += [port_of(each) for each in said["ports"]]
                if not any(link.get("rel") == "next" for link in said.get("ports_links", ())):
                    return found
                marker = [("marker", found[-1].id)]

    async def create(self, cluster: str, name: str, subnet: str, wanted: Sequence[Address | None]) -> list[Port]:
        """Make a port for each address, None: any; all of them or none."""
        network = await self._network(subnet)
        bodies = []
        for address in wanted:
            fixed = {"subnet_id": subnet, **({"ip_address": address} if address else {})}
            # without groups its address becomes a member of none
            body = {"network_id": network, "fixed_ips": [fixed], "security_groups": []}
            bodies.append({**body, "name": name, "device_owner": NEUTRON_DEVICE_OWNER, "device_id": cluster})
        said = await self._ask("POST", "/ports", {"ports": bodies})
        with self._reading():
            return [port_of(each) for each in said["ports"]]

    async def rename(self, port: Port, name: str) -> Port:
        """Call a port otherwise, unless it is not as it was read (412) or gone (404)."""
        # what is written as it was is no new revision, and whoever still writes over this one must not be able to
        changed = {"name": name, "description": f"keeps an address for Kubernetes; {port.revision}"}
        said = await self._ask("PUT", f"/ports/{port.id}", {"port": changed}, _if_match(port))
        with self._reading():
            return port_of(said["port"])

    async def delete(self, port: Port) -> None:
        """Delete a port, unless it is not as it was read (412); one that is gone is a success."""
        try:
            await self._ask("DELETE", f"/ports/{port.id}", None, _if_match(port))
        except NeutronRefused as error:
            if error.status != _GONE:
                raise

    async def _network(self, subnet: str) -> str:
        if subnet not in self._networks:
            said = await self._ask("GET", f"/subnets/{subnet}")
            with self._reading():
                self._networks[subnet] = str(said["subnet"]["network_id"])
        return self._networks[subnet]

    async def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401  JSON
        headers: Mapping[str, str] = {},
    ) -> Any:  # noqa: ANN401  JSON
        sent = {**headers, **self._token()}
        try:
            async with self._session.request(method, self._base + path, json=body, headers=sent) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NeutronAway(
                f"Neutron at {self._base} does not answer: {str(error) or type(error).__name__}"
            ) from error
        if response.status >= _OVERLOADED:
            raise NeutronAway(f"Neutron at {self._base}: {response.status}: {_words(raw)[1]}")
        if response.status == _REFUSED_TOKEN:
            where = self._settings.token_file or "none was sent: give --neutron-token-file"
            raise NeutronAway(f"Neutron at {self._base} refuses the token ({where})")
        if response.status >= 400:
            raise NeutronRefused(response.status, *_words(raw))
        with self._reading():
            return msgspec.json.decode(raw) if raw else {}

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Take what an answer lacks for an answer of somebody else."""
        try:
            yield
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError, ValueError) as error:
            raise NeutronAway(f"{self._base} does not speak as Neutron does: {error!r}") from error

    def _token(self) -> dict[str, str]:
        if not self._settings.token_file:
            return {}
        where = f"--neutron-token-file {self._settings.token_file}"
        try:
            token = Path(self._settings.token_file).read_bytes().strip()
        except OSError as error:
            raise NeutronAway(f"{where}: {error.strerror}") from error
        if not _TOKEN.fullmatch(token):
            raise NeutronAway(
                f"{where} holds no token: write one line, as openstack token issue -f value -c id prints it"
            )
        return {"X-Auth-Token": token.decode()}


def _if_match(port: Port) -> dict[str, str]:
    return {"If-Match": f"revision_number={port.revision}"}


def _words(raw: bytes) -> tuple[str, str]:
    """Return kind and sentence of what Neutron says when it says no."""
    try:
        error = msgspec.json.decode(raw)["NeutronError"]
        return (str(error["type"]), str(error["message"])) if isinstance(error, dict) else ("", str(error))
    except (msgspec.DecodeError, KeyError, TypeError):
        return "", raw.decode(errors="replace")[:300]
