# SPDX-License-Identifier: Apache-2.0
"""Floor 9: the `buoy` command. It reads the store and asks agents; it never touches a host itself."""
