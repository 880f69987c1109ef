"""Floor 5: when a pass runs, with which settings, and who is told about it."""
