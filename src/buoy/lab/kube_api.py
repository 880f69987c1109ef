# SPDX-License-Identifier: Apache-2.0
"""As much of the Kubernetes API as a lab's own programs use: objects by path, and server-side apply.

Knows nothing of Buoy's own client of that API, which is what labs are there to test. One connection, one thread.
"""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from buoy.model.errors import BuoyError

_SECONDS = 30.0
_MERGE, _APPLY, _JSON = "application/merge-patch+json", "application/apply-patch+yaml", "application/json"
_MANAGER = "buoy-lab"
_GONE = (http.client.BadStatusLine, ConnectionError, ssl.SSLError)

Object = dict[str, Any]
"""A Kubernetes object, as JSON has it."""


class Refused(BuoyError):
    """The API server says no, in its own words; `status` is HTTP's."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class KubeApi:
    """The API server a kubeconfig leads to; every method raises `Refused`, or OSError if it does not answer."""

    def __init__(self, kubeconfig: str | Path) -> None:
        config = yaml.safe_load(Path(kubeconfig).read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._trust = ssl.create_default_context(cadata=authority)
        self._host = urlsplit(cluster["server"]).netloc
        self._token = str(config["users"][0]["user"]["token"])
        self._connection: http.client.HTTPSConnection | None = None
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    def get(self, path: str) -> Object:
        """Return the object or list at a path such as ``/api/v1/nodes/node-1``."""
        return self._ask("GET", path)

    def find(self, path: str) -> Object | None:
        """Return the object at a path, None if there is none."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status != http.client.NOT_FOUND:
                raise
            return None

    def create(self, path: str, wanted: Object) -> Object:
        """Create an object in the collection at a path."""
        return self._ask("POST", path, wanted)

    def merge(self, path: str, change: Object) -> Object:
        """Change an object by a merge patch (RFC 7386)."""
        return self._ask("PATCH", path, change, _MERGE)

    def delete(self, path: str, options: Mapping[str, Any] | None = None) -> None:
        """Delete an object; one that is gone already is a success."""
        try:
            self._ask("DELETE", path, dict(options) if options else None)
        except Refused as error:
            if error.status != http.client.NOT_FOUND:
                raise

    def apply(self, wanted: Object) -> Object:
        """Create an object or bring it to what is wanted, by server-side apply."""
        path = f"{self.path_of(wanted)}?fieldManager={_MANAGER}&force=true"
        return self._ask("PATCH", path, wanted, _APPLY)

    def path_of(self, thing: Object) -> str:
        """Return the path of an object, for which the server is asked what its kind is called in paths."""
        version, kind, metadata = thing["apiVersion"], thing["kind"], thing["metadata"]
        group = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, kind) not in self._plurals:
            for each in self.get(group)["resources"]:
                self._plurals.setdefault((version, each["kind"]), (each["name"], each["namespaced"]))
        if (version, kind) not in self._plurals:
            raise Refused(http.client.NOT_FOUND, f"there is no kind {kind} in {version}")
        plural, namespaced = self._plurals[version, kind]
        scope = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{group}{scope}/{plural}/{metadata['name']}"

    def _ask(self, method: str, path: str, body: Object | None = None, content_type: str = _JSON) -> Object:
        text = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {self._token}", "Accept": _JSON, "Content-Type": content_type}
        try:
            status, raw = self._exchange(method, path, text, headers)
        except _GONE:
            # a connection that was kept may have been closed by the server meanwhile
            self._connection = None
            status, raw = self._exchange(method, path, text, headers)
        answer = json.loads(raw) if raw[:1] == b"{" else {"message": raw.decode(errors="replace").strip()}
        if status >= http.client.BAD_REQUEST:
            raise Refused(status, str(answer.get("message", status)))
        return dict(answer)

    def _exchange(self, method: str, path: str, text: str | None, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(self._host, timeout=_SECONDS, context=self._trust)
        self._connection.request(method, path, text, headers)
        response = self._connection.getresponse()
        return response.status, response.read()
