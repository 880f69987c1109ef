# SPDX-License-Identifier: Apache-2.0
"""`./dev bench [NAME...] [--quick] [--trials N]`: run benches one after another, all if none is named.

Promises that nothing is left behind, also after Ctrl-C or SIGTERM: what a bench makes lives in
namespaces that end with its processes, or in a lab that is taken down.
"""

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.report import Options, tell

NAMES = (
    "agent",
    "nat_flow",
    "store_to_peer",
    "port_create",
    "associate",
    "kubernetes_services",
    "kubernetes_agent",
    "kubernetes_controller",
    "kubernetes_metallb",
)


def main() -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="./dev bench", description="Run Buoy's benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="a few trials, results to build/bench only")
    parser.add_argument("--trials", type=int, help="how often to try, instead of each bench's own number")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if os.geteuid() != 0:
        parser.error("benches make namespaces and flush connections: run them as root")
    for name in given.names or NAMES:
        tell(f"bench {name}, load average {os.getloadavg()[0]:.1f}")
        importlib.import_module(f"bench.{name}").bench(Options(given.quick, given.trials))
    tell("all done")
    return 0


if __name__ == "__main__":
    # as in the background of a script, where SIGINT is ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
