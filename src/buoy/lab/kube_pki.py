# SPDX-License-Identifier: Apache-2.0
"""The keys, certificates and tokens of one Kubernetes lab, made anew for each.

Promises that nothing of it is worth anything outside the lab and after it. The tricky thing: the API
server is reached by a forwarded port of the host's loopback too, so its certificate is good for 127.0.0.1.
"""

import secrets
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from buoy.lab.command import run

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS = "3650"

ACCOUNTS = {
    "admin": ("admin", ("system:masters",)),
    "kcm": ("system:kube-controller-manager", ()),
    "scheduler": ("system:kube-scheduler", ()),
    "kube-proxy": ("system:kube-proxy", ()),
}
"""Who speaks to the API server with which user name and groups, besides nodes and service accounts."""


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """PEM texts by the name kubeadm gives their files, and tokens by account."""

    files: dict[str, str]
    tokens: dict[str, str]

    def token_table(self) -> str:
        """Return the text for ``--token-auth-file``."""
        lines = []
        for account, token in self.tokens.items():
            user, groups = ACCOUNTS.get(account) or (f"system:node:{account}", ("system:nodes",))
            lines.append(f'{token},{user},{user},"{",".join(groups)}"\n')
        return "".join(lines)


def make(nodes: Collection[str], names: Sequence[str]) -> Secrets:
    """Return fresh secrets for the nodes; `names` are the API server's, such as ``IP:127.0.0.1``.

    Raises `DataplaneError` with what openssl said.
    """
    with tempfile.TemporaryDirectory(prefix="buoy-pki-") as place:
        at = Path(place)
        for authority in ("ca", "front-proxy-ca"):
            _certify(at, authority, "keyUsage=critical,keyCertSign,cRLSign")
        _certify(at, "apiserver", f"subjectAltName={','.join(names)}", issuer="ca")
        # the aggregation layer's: an extension server trusts who shows this name
        _certify(at, "front-proxy-client", "extendedKeyUsage=clientAuth", issuer="front-proxy-ca")
        run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-out", str(at / "sa.key")])  # fmt: skip
        run(["openssl", "pkey", "-in", str(at / "sa.key"), "-pubout", "-out", str(at / "sa.pub")])
        files = {file.name: file.read_text() for file in sorted(at.iterdir())}
    tokens = {account: secrets.token_urlsafe(24) for account in (*ACCOUNTS, *nodes)}
    return Secrets(files=files, tokens=tokens)


def _certify(at: Path, name: str, extension: str, issuer: str = "") -> None:
    """Make NAME.key and NAME.crt, signed by `issuer` or by itself."""
    command = ["openssl", "req", "-x509", *_EC, "-days", _DAYS, "-subj", f"/CN={name}", "-addext", extension]
    command += ["-keyout", str(at / f"{name}.key"), "-out", str(at / f"{name}.crt")]
    if issuer:
        command += ["-CA", str(at / f"{issuer}.crt"), "-CAkey", str(at / f"{issuer}.key")]
        # openssl's own settings make an authority of whoever does not refuse
        command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    run(command)
