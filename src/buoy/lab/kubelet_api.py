# SPDX-License-Identifier: Apache-2.0
"""The API server as a kubelet speaks to it: requests that give up soon, and a watch that lasts.

Knows nothing of Buoy's own client of that API, which is what labs are there to test.
"""

import base64
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

from buoy.model.errors import BuoyError

_SECONDS = 2.0
_LONGEST_LINE = 1 << 22
_REFUSED = 400

Object = dict[str, Any]
UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)
"""What a request raises that got no answer."""


class Denied(BuoyError):
    """The API server says no."""


class KubeletApi:
    """A context: one session with the API server that a kubeconfig leads to."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self.authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._server = cluster["server"]
        self._trust = ssl.create_default_context(cadata=self.authority)
        self._token = config["users"][0]["user"]["token"]

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._server,
            connector=aiohttp.TCPConnector(ssl=self._trust),
            headers={"Authorization": f"Bearer {self._token}"},
            read_bufsize=_LONGEST_LINE,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, method: str, path: str, body: Object | None = None) -> Object:
        """Ask, and return the answer; raise `Denied`, or what aiohttp raises if there is none in two seconds."""
        # a strategic merge patch cannot say two addresses of one type
        headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
        limit = aiohttp.ClientTimeout(total=_SECONDS)
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, path, data=data, headers=headers, timeout=limit) as response:
            answer = await response.json()
        if response.status >= _REFUSED:
            raise Denied(answer.get("message", str(response.status)))
        return dict(answer)

    async def watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield what happens after a version, as ``ADDED``, ``MODIFIED`` or ``DELETED`` with the object, until it ends.

        Raises `Denied` when the version is too old.
        """
        limit = aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS)
        address = f"{path}&watch=true&allowWatchBookmarks=true&resourceVersion={version}"
        async with self._session.get(address, timeout=limit) as response:
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Denied(event["object"].get("message", "the watch failed"))
                if event["type"] != "BOOKMARK":
                    yield event["type"], event["object"]
