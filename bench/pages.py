# SPDX-License-Identifier: Apache-2.0
"""What was measured, put into the pages that speak of it: between ``<!-- NAME -->`` and ``<!-- end -->``.

Promises to touch nothing else of a page; a result that no page has a place for is in its JSON file alone.
"""

import re
from pathlib import Path


def fill(directory: Path, name: str, text: str) -> None:
    """Put a result in its place in the pages of a directory."""
    place = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    for page in sorted(directory.glob("*.md")):
        before = page.read_text()
        after = place.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", before)
        if after != before:
            page.write_text(after)
