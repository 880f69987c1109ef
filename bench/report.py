# SPDX-License-Identifier: Apache-2.0
"""What a bench found: a table on the screen, and where it counts a JSON file and a plot in `docs/benchmarks/`.

A quick run only shows that a bench works, so it writes to `build/bench` and leaves the documents alone.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import pages
from bench.plot import Plot

ROOT = Path(__file__).resolve().parents[1]
_BEGAN = time.monotonic()


class Options(NamedTuple):
    """How to run: `quick` tries everything a few times only; `trials` overrides a bench's own number."""

    quick: bool = False
    trials: int | None = None

    @property
    def directory(self) -> Path:
        """Where results go."""
        return ROOT / ("build/bench" if self.quick else "docs/benchmarks")

    def times(self, usual: int, quick: int) -> int:
        """Return how often to try."""
        return self.trials or (quick if self.quick else usual)


class Spread(NamedTuple):
    """Of a sample: its median, its quartiles, its 99th percentile and its size."""

    median: float
    low: float
    high: float
    p99: float
    size: int

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.low)}-{short(self.high)})"


def spread(sample: Sequence[float]) -> Spread:
    """Return the spread of a sample, which must not be empty."""
    ordered = sorted(sample)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Spread(at(0.5), at(0.25), at(0.75), at(0.99), len(ordered))


def tell(what: str) -> None:
    """Tell the terminal what is being done, and how long everything has taken so far."""
    took = int(time.monotonic() - _BEGAN)
    print(f"{took // 60:3d}:{took % 60:02d}  {what}", file=sys.stderr, flush=True)


def short(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


class Report:
    """One bench's result while it is gathered; `method` is told with it, and the `bench` if it is called otherwise."""

    def __init__(self, name: str, title: str, method: str, columns: Sequence[str], bench: str = "") -> None:
        self.name, self.title, self.method, self.columns = name, title, method, tuple(columns)
        self._bench = bench or name
        self.rows: list[tuple[str, ...]] = []
        self.data: Mapping[str, object] = {}
        self.plots: list[Plot] = []
        self._load = os.getloadavg()[0]

    def row(self, *cells: object) -> None:
        """Add a row to the table."""
        self.rows.append(tuple(cell if isinstance(cell, str) else str(cell) for cell in cells))

    def save(self, options: Options) -> None:
        """Show the table, and write what was found."""
        table = self.table()
        print(f"\n{self.title}\n\n{table}\n", flush=True)
        options.directory.mkdir(parents=True, exist_ok=True)
        found = {
            "title": self.title,
            "method": self.method,
            "command": f"./dev bench {self._bench}",
            "machine": machine(),
            "load": {"before": self._load, "after": os.getloadavg()[0]},
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "table": table.splitlines(),
        }
        # people read the head, programs the samples: those take one line
        text = (
            f'{json.dumps(found, indent=1, ensure_ascii=False)[:-2]},\n "data": {json.dumps(rounded(self.data))}\n}}\n'
        )
        (options.directory / f"{self.name.replace('_', '-')}.json").write_text(text)
        for plot in self.plots:
            (options.directory / f"{plot.name}.svg").write_text(plot.svg())
        if not options.quick:
            loads = f"{self._load:.1f} before, {os.getloadavg()[0]:.1f} after"
            pages.fill(options.directory, self.name, f"{table}\n\nLoad average {loads}; {found['date']}.")

    def table(self) -> str:
        """Return the table as Markdown."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        texts = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
        return "\n".join([texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]])


def rounded(data: object) -> object:
    """Return data with four significant digits: more were never measured."""
    if isinstance(data, Mapping):
        return {name: rounded(each) for name, each in data.items()}
    if isinstance(data, list):
        return [rounded(each) for each in data]
    return float(f"{data:.4g}") if isinstance(data, float) else data


def machine() -> str:
    """Return the machine in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    processor = ", ".join(sorted(names)) or platform.machine()
    return (
        f"{os.cpu_count()} of {processor}, {memory} GiB, Linux {platform.release()}, Python {platform.python_version()}"
    )
