# SPDX-License-Identifier: Apache-2.0
"""What benches say: numbers, tables and plots."""

import xml.etree.ElementTree as ET

from bench.plot import Plot, Point
from bench.report import Options, Report, spread

SVG = "{http://www.w3.org/2000/svg}"


def test_a_spread_is_of_the_sample_not_of_a_curve_through_it() -> None:
    assert (50, 25, 75, 99, 100) == spread([float(number) for number in reversed(range(100))])
    assert (7, 7, 7, 7, 1) == spread([7.0])


def test_a_quick_run_leaves_the_documents_alone() -> None:
    assert ("bench", "benchmarks") == (Options(quick=True).directory.name, Options().directory.name)
    assert (3, 100, 7) == (
        Options(quick=True).times(100, 3),
        Options().times(100, 3),
        Options(quick=True, trials=7).times(100, 3),
    )


def test_a_table_is_aligned_markdown() -> None:
    report = Report("name", "title", "method", ("size", "ms"))
    report.row(10_000, "1.5")
    report.row(1, "22.75")
    assert ["| size  | ms    |", "|-------|-------|", "| 10000 | 1.5   |", "| 1     | 22.75 |"] == report.table().split(
        "\n"
    )


def test_a_plot_shows_each_point_inside_its_frame_and_names_each_series() -> None:
    series = {
        "linear <rules>": [Point(10, 5, 4, 6), Point(10_000, 70, 60, 90)],
        "flat": [Point(10, 5, 4, 6), Point(10_000, 5, 4, 6)],
    }
    for logarithmic in (True, False):
        picture = ET.fromstring(Plot("p", "title", "x", "y", series, 10, logarithmic).svg())  # noqa: S314  our own text
        places = [float(circle.get("cx", "")) for circle in picture.iter(f"{SVG}circle")]
        assert ([80.0, 570.0], True) == (places, "linear <rules>" in [text.text for text in picture.iter(f"{SVG}text")])
        heights = [float(mark.get("cy", "")) for mark in picture.iter(f"{SVG}circle")]
        assert [] == [height for height in heights if not 44 <= height <= 382]
