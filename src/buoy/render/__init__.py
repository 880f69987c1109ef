# SPDX-License-Identifier: Apache-2.0
"""Floor 3: pure text and bytes: what goes onto the wire, into a configuration or before a person's eyes."""
