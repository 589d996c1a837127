"""The kernel asked to begin bringing a file to the disk, without waiting for it: who syncs the file later has little left to wait for."""

import ctypes
from collections.abc import Callable
from typing import Final, cast

_SYNC_FILE_RANGE_WRITE: Final = 2
_WHOLE_BYTES: Final = 64 * 1024
"""The file is left alone behind the last whole piece of so many: who appends to what is on its way already may wait for the journal."""
_Call = Callable[[int, int, int, int], int]


def _kernel_call() -> _Call | None:
    """Linux's own; None where there is none."""
    try:
        call = ctypes.CDLL(None).sync_file_range
    except (AttributeError, OSError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    call.restype = ctypes.c_int
    return cast("_Call", call)


_call: Final = _kernel_call()


def write_out(descriptor: int, size: int) -> None:
    """What was written so far, up to `size`, is on its way to the disk, but for the last few pages.

    Nothing is promised by it, and an error is left to the next sync to tell.
    """
    whole = size - size % _WHOLE_BYTES
    if whole and _call is not None:  # none would be all
        _call(descriptor, 0, whole, _SYNC_FILE_RANGE_WRITE)
