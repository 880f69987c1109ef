# SPDX-License-Identifier: Apache-2.0
"""``./dev demo [openstack|kubernetes]``: build a lab of that kind, play its stories in it, leave it up.

The last line is ``N passed, N failed``; the exit code is 1 if anything failed.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from buoy.lab import kube_stories, stories
from buoy.lab.lab import Lab
from buoy.lab.play import Player, StoryEndedError
from buoy.model.errors import BuoyError

_NAMES = {"openstack": "demo", "kubernetes": "demo-k8s"}


def main() -> None:
    """Play; with ``--down`` end the lab afterwards."""
    parser = argparse.ArgumentParser(prog="./dev demo", description="Play Buoy's stories in a lab of their own.")
    parser.add_argument("world", nargs="?", choices=list(_NAMES), default="openstack", help="default: %(default)s")
    parser.add_argument("--name", help="name of the lab (default: demo, or demo-k8s)")
    parser.add_argument("--down", action="store_true", help="end the lab afterwards")
    options = parser.parse_args()
    # also in a pipe, who watches wants to see each command when it is run
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    lab = Lab(options.name or _NAMES[options.world])
    try:
        failed = _WORLDS[options.world](lab)
    except BuoyError as error:
        print(f"✗ {error}\n\n0 passed, 1 failed")
        sys.exit(1)
    except KeyboardInterrupt:
        lab.down()
        print("\ninterrupted: the lab is gone")
        sys.exit(130)
    if options.down:
        lab.down()
    sys.exit(1 if failed else 0)


def openstack(lab: Lab) -> int:
    """Build the OpenStack lab anew, play every story, print the result; return how many claims failed."""
    began = time.monotonic()
    lab.down()
    print(f"Building the lab {lab.name!r}: access node, controller, two compute nodes.")
    lab.up(nodes=2, tell=_tell)
    told = (stories.prepare, stories.service_ip, stories.floating_ip)
    return _all(Player(lab), told, lambda: _NOW_TRY.format(name=lab.name, seconds=time.monotonic() - began))


def kubernetes(lab: Lab) -> int:
    """Build the Kubernetes lab anew; the rest as `openstack`."""
    began = time.monotonic()
    lab.down()
    print(f"Building the lab {lab.name!r}: ToR, client, controller, two nodes.")
    lab.up_kubernetes(tell=_tell)
    told = (kube_stories.prepare, kube_stories.scopes, kube_stories.announce)

    def farewell() -> str:
        # of stories that ended early there may be none
        address = lab.exec(kube_stories.HOST, "sh", "-c", kube_stories.LAST_ADDRESS, check=False).stdout or "ADDRESS"
        return _NOW_TRY_KUBERNETES.format(name=lab.name, seconds=time.monotonic() - began, address=address)

    return _all(Player(lab), told, farewell)


_WORLDS = {"openstack": openstack, "kubernetes": kubernetes}


def _all(player: Player, told: Sequence[Callable[[Player], None]], farewell: Callable[[], str]) -> int:
    for story in told:
        _play(player, story)
    print(farewell())
    print(f"{player.passed} passed, {player.failed} failed", flush=True)
    return player.failed


def _play(player: Player, story: Callable[[Player], None]) -> None:
    try:
        story(player)
    except StoryEndedError as error:
        print(f"  … the story {story.__name__} ended at: {error}")
    except BuoyError as error:
        player.check(f"the story {story.__name__} goes on", holds=False, seen=str(error))


def _tell(news: dict[str, Any]) -> None:
    if "up" not in news:
        print(
            f"… {news['ready']} is ready" if "ready" in news else f"… {news.get('doing') or news.get('preparing')}",
            flush=True,
        )


_NOW_TRY = """
Played in {seconds:.0f} s. The lab is still up; now try, after: eval "$(./dev buoy lab env --name {name})"

  openstack floating ip list                               what Neutron says
  ./dev buoy lab exec compute-2 -- buoy why 10.28.0.23     one address's whole way
  ./dev buoy lab service kill compute-1 agent              kill -9 the agent: traffic goes on
  ./dev buoy lab service start compute-1 agent             the agent comes back, and changes nothing
  ./dev buoy lab status; ./dev buoy lab logs compute-1     what runs, and what it said
  ./dev buoy lab down                                      end it: nothing is left
"""

_NOW_TRY_KUBERNETES = """
Played in {seconds:.0f} s. The lab is still up; now try, after: eval "$(./dev buoy lab env --name {name})"

  kubectl get services,pools,serviceips -A                 what the cluster says
  ./dev buoy lab exec node-1 -- buoy why {address:<18}one address's whole way
  ./dev buoy lab exec tor -- ip route                      what the router, somebody else's, sees
  ./dev buoy lab service kill node-1 agent                 kill -9 the agent: traffic goes on
  ./dev buoy lab service start node-1 agent                the agent comes back, and changes nothing
  ./dev buoy lab status; ./dev buoy lab logs node-1        what runs, and what it said
  ./dev buoy lab down                                      end it: nothing is left
"""


if __name__ == "__main__":
    main()
