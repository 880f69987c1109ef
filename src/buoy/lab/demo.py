# SPDX-License-Identifier: Apache-2.0
"""``./dev demo``: build the OpenStack lab, play the two stories in it, leave it up.

The last line is ``N passed, N failed``; the exit code is 1 if anything failed.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable
from typing import Any

from buoy.lab import stories
from buoy.lab.lab import Lab
from buoy.lab.play import Player, StoryEndedError
from buoy.model.errors import BuoyError

_NAME = "demo"


def main() -> None:
    """Play; with ``--down`` end the lab afterwards."""
    parser = argparse.ArgumentParser(prog="./dev demo", description="Play Buoy's two stories in a lab of its own.")
    parser.add_argument("--name", default=_NAME, help="name of the lab (default: %(default)s)")
    parser.add_argument("--down", action="store_true", help="end the lab afterwards")
    options = parser.parse_args()
    # also in a pipe, who watches wants to see each command when it is run
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    lab = Lab(options.name)
    try:
        failed = play(lab)
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


def play(lab: Lab) -> int:
    """Build the lab anew, play every story, print the result; return how many claims failed."""
    began = time.monotonic()
    lab.down()
    print(f"Building the lab {lab.name!r}: access node, controller, two compute nodes.")
    lab.up(nodes=2, tell=_tell)
    player = Player(lab)
    for story in (stories.prepare, stories.service_ip, stories.floating_ip):
        _play(player, story)
    print(_NOW_TRY.format(name=lab.name, seconds=time.monotonic() - began))
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
        print(f"… {news['ready']} is ready" if "ready" in news else f"… {news.get('doing')}", flush=True)


_NOW_TRY = """
Played in {seconds:.0f} s. The lab is still up; now try, after: eval "$(./dev buoy lab env --name {name})"

  openstack floating ip list                               what Neutron says
  ./dev buoy lab exec compute-2 -- buoy why 10.28.0.23     one address's whole way
  ./dev buoy lab service kill compute-1 agent              kill -9 the agent: traffic goes on
  ./dev buoy lab status; ./dev buoy lab logs compute-1     what runs, and what it said
  ./dev buoy lab down                                      end it: nothing is left
"""


if __name__ == "__main__":
    main()
