# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for a test, made with the openssl program."""

import subprocess
from pathlib import Path


class Authority:
    """Issues certificates for 127.0.0.1 into one directory; each instance is an authority of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self.ca = directory / "ca.pem"
        self._ca_key = directory / "ca-key.pem"
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=test authority", "-days", "1", "-keyout", str(self._ca_key), "-out", str(self.ca),
        )  # fmt: skip

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key whose common name is `name`; issuing again overwrites both."""
        cert, key, request = (self._directory / f"{name}{end}" for end in (".pem", "-key.pem", ".csr"))
        extensions = self._directory / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
        _openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(self._ca_key), "-CAcreateserial",
            "-days", "1", "-extfile", str(extensions), "-out", str(cert),
        )  # fmt: skip
        return cert, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
