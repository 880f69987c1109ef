# SPDX-License-Identifier: Apache-2.0
"""Line plots as SVG, by hand: a hundred lines instead of matplotlib and the eight packages it would pin.

Both axes are logarithmic or linear; each point may carry its spread. Series are told apart by
colour (Okabe and Ito's, for eyes that see fewer) and by shape, and are named at their last point.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 190, 44, 58
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_FONT, _INK = 'font-family="sans-serif" font-size="13"', 'fill="#222"'


class Point(NamedTuple):
    """A measured point and its spread."""

    x: float
    y: float
    low: float
    high: float


class Axis(NamedTuple):
    """One axis: what it shows, from and to which value, and where that is on the picture."""

    title: str
    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    def place(self, value: float) -> float:
        """Return where a value stands on the picture."""
        low, high, value = (math.log10(each) if self.logarithmic else each for each in (self.low, self.high, value))
        return self.start + (value - low) / ((high - low) or 1) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return the values to mark."""
        if not self.logarithmic:
            step = 10 ** math.floor(math.log10(self.high - self.low or 1))
            step = step if (self.high - self.low) / step > 3 else step / 4
            first = math.ceil(self.low / step)
            return [number * step for number in range(first, math.floor(self.high / step) + 1)]
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        wide = len(powers) > 3
        values = [10**power * digit for power in powers for digit in ((1,) if wide else (1, 2, 5))]
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]


class Plot(NamedTuple):
    """Series over one x; `name` is the file's, `aim` a line nobody should be above, 0 for none."""

    name: str
    title: str
    x_title: str
    y_title: str
    series: Mapping[str, Sequence[Point]]
    aim: float = 0
    logarithmic: bool = True

    def svg(self) -> str:
        """Return the picture."""
        points = [point for line in self.series.values() for point in line]
        tops = [*(point.high for point in points), self.aim or points[0].high]
        bottom = min(point.low for point in points) / 1.3 if self.logarithmic else 0.0
        x = Axis(self.x_title, min(p.x for p in points), max(p.x for p in points), _LEFT, _WIDTH - _RIGHT, True)
        y = Axis(self.y_title, bottom, max(tops) * 1.2, _HEIGHT - _BOTTOM, _TOP, self.logarithmic)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">',
            '<rect width="100%" height="100%" fill="white"/>',
            _text(_LEFT, 24, self.title, style=f'{_INK} font-weight="bold"'),
            *_axes(x, y),
            *([_aim(x, y, self.aim)] if self.aim else []),
        ]
        names: list[float] = []
        for number, (name, line) in enumerate(self.series.items()):
            parts += _line(x, y, line, number)
            height = y.place(line[-1].y) + 4
            while any(abs(height - other) < 15 for other in names):
                height += 3
            names.append(height)
            parts.append(
                _text(x.place(line[-1].x) + 10, height, name, style=f'fill="{_COLOURS[number % len(_COLOURS)]}"')
            )
        return "\n".join([*parts, "</svg>\n"])


def _axes(x: Axis, y: Axis) -> list[str]:
    parts = [f'<path d="M{x.start} {y.end}V{y.start}H{x.end}" fill="none" stroke="#222"/>']
    for value in y.ticks():
        at = y.place(value)
        parts.append(f'<path d="M{x.start} {at:.1f}H{x.end}" stroke="#ddd"/>')
        parts.append(_text(x.start - 8, at + 4, f"{value:,g}", anchor="end"))
    for value in x.ticks():
        at = x.place(value)
        parts.append(f'<path d="M{at:.1f} {y.start}v5" stroke="#222"/>')
        parts.append(_text(at, y.start + 20, f"{value:,.0f}", anchor="middle"))
    middle = (y.start + y.end) / 2
    parts.append(_text((x.start + x.end) / 2, y.start + 44, x.title, anchor="middle"))
    turned = f'transform="rotate(-90 20 {middle})"'
    parts.append(f'<text x="20" y="{middle}" text-anchor="middle" {_FONT} {_INK} {turned}>{escape(y.title)}</text>')
    return parts


def _aim(x: Axis, y: Axis, aim: float) -> str:
    at = y.place(aim)
    label = _text(x.start + 6, at - 5, f"aim: {aim:g}")
    return f'<path d="M{x.start} {at:.1f}H{x.end}" stroke="#222" stroke-dasharray="6 4"/>{label}'


def _line(x: Axis, y: Axis, points: Sequence[Point], number: int) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    path = " ".join(f"{x.place(point.x):.1f},{y.place(point.y):.1f}" for point in points)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for point in points:
        at, middle = x.place(point.x), y.place(point.y)
        parts.append(f'<path d="M{at:.1f} {y.place(point.low):.1f}V{y.place(point.high):.1f}" stroke="{colour}"/>')
        shapes = (
            f'<circle cx="{at:.1f}" cy="{middle:.1f}" r="4" fill="{colour}"/>',
            f'<rect x="{at - 4:.1f}" y="{middle - 4:.1f}" width="8" height="8" fill="{colour}"/>',
            f'<path d="M{at:.1f} {middle - 5:.1f}l5 9h-10z" fill="{colour}"/>',
        )
        parts.append(shapes[number % len(shapes)])
    return parts


def _text(x: float, y: float, text: str, anchor: str = "start", style: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_FONT} {style}>{escape(text)}</text>'
