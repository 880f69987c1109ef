# SPDX-License-Identifier: Apache-2.0
"""A timer that is a descriptor, for whoever has nothing but descriptors to be woken by (timerfd_create(2)).

Promises to become readable once, at the time it was last set to. Python itself has
this from 3.13 on.
"""

import contextlib
import ctypes
import os
import time

_LIBC = ctypes.CDLL(None, use_errno=True)
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class _Times(ctypes.Structure):
    """struct itimerspec: of an interval, which stays zero, and of the first expiry."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("again", "again_nanoseconds", "seconds", "nanoseconds"))


class Timer:
    """Not set at first."""

    def __init__(self) -> None:
        self._descriptor = _LIBC.timerfd_create(time.CLOCK_MONOTONIC, _FLAGS)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._is_set = False

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the time has come."""
        return int(self._descriptor)

    def set(self, seconds: float) -> None:
        """Go off in so many seconds; what was set before is forgotten."""
        self._is_set = True
        seconds = max(seconds, 1e-3)
        times = _Times(0, 0, int(seconds), int(seconds % 1 * 1e9))
        if _LIBC.timerfd_settime(self._descriptor, 0, ctypes.byref(times), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def clear(self) -> None:
        """Go off no more, and be readable no more."""
        if not self._is_set:
            return
        self._is_set = False
        _LIBC.timerfd_settime(self._descriptor, 0, ctypes.byref(_Times(0, 0, 0, 0)), None)
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 8)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)
