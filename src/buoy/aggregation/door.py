# SPDX-License-Identifier: Apache-2.0
"""The TLS door: who comes in, and what we show, both as they are now.

Promises that a certificate, or the cluster's front proxy CA, is exchanged without a restart and
without a connection lost; while what is there does not fit together, such as a new certificate
with the old key, the old pair serves on. The tricky thing: a server's context cannot be taken
out of it, but each handshake may choose another for itself, before the client is looked at.
"""

import ssl
from collections.abc import Mapping
from typing import Any

from buoy.aggregation.front_proxy import Certificate, Trust, context, is_front_proxy


class Door:
    """What a server listens with; `tls` is its context for as long as it lives."""

    def __init__(self, trust: Trust, certificate: Certificate) -> None:
        """Read the certificate; raise `InvalidInput`."""
        self.trust = trust
        self._certificate = certificate
        self._stamp = certificate.stamp()
        self._newest = context(trust, certificate)
        self.tls = context(trust, certificate)
        self.tls.sni_callback = self._choose

    def renew(self, trust: Trust) -> bool:
        """Take what the cluster trusts now and what stands in the files; tell whether either is new.

        Raises `InvalidInput`, and leaves everything as it was, if they cannot be used.
        """
        stamp = self._certificate.stamp()
        if (trust, stamp) == (self.trust, self._stamp):
            return False
        self._newest = context(trust, self._certificate)
        self.trust, self._stamp = trust, stamp
        return True

    def admits(self, shown: Mapping[str, Any] | None) -> bool:
        """Tell whether a client's certificate, which the handshake has verified, has a name that is allowed."""
        return is_front_proxy(self.trust, shown)

    def _choose(self, connection: ssl.SSLObject, _name: str, _context: ssl.SSLContext) -> None:
        connection.context = self._newest
