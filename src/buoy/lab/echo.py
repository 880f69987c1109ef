# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a node's metadata service: answers every request with who asked for what.

``python -m buoy.lab.echo PORT`` listens on 127.0.0.1, as Nova's metadata proxy does.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer with the source address as it arrived here, which is how Neutron finds the port."""
        body = json.dumps({"source": self.client_address[0], "path": self.path}).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until killed."""
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Echo).serve_forever()


if __name__ == "__main__":
    main()
