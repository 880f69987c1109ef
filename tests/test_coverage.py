# SPDX-License-Identifier: Apache-2.0
"""No branch of the pure floors goes untaken: every decision there has been looked at by a test.

The one tricky thing: their tests run once more, in a process of their own, because
modules that were imported before the measurement began would count as never run.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PURE_TESTS = ["tests/unit", "tests/properties", "tests/golden"]


def test_every_branch_of_model_planner_and_render_is_taken(tmp_path: Path) -> None:
    data = tmp_path / "coverage"
    tests = coverage(data, "run", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *PURE_TESTS)
    assert tests.returncode == 0, tests.stdout
    # pyproject.toml says of which packages, and that less than all is a failure.
    report = coverage(data, "report")
    assert report.returncode == 0, report.stdout


def coverage(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the coverage program with its measurements in a file of this test's own."""
    environment = {**os.environ, "COVERAGE_FILE": str(data)}
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
