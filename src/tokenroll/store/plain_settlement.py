"""A plain settlement: a row whose bytes are a HOLD of one slice and the SETTLE of its whole answer, read without making records of them.

Nearly every row is one, and the ledger reads each of them again to sum it (`rollups.py`, `usage_rollups.py`). What is rarer is read by
`attempt_record.parse_record`, and so is everything by `journal verify`, which thereby proves this way of reading right.
"""

import struct
from typing import Final

from tokenroll.store import tape
from tokenroll.store.tape import RecordType

_HOLD: Final = int(RecordType.HOLD)
_SETTLE: Final = int(RecordType.SETTLE)
_SETTLE_SIZE: Final = tape.SETTLE.size
_SLICES_PLACE: Final = 5
"""Where a HOLD says how many slices it has."""
HOLD_LABEL: Final = struct.Struct("<xBxxxxxx16x8xqqq16xIxxxxI20xqq")
"""Of a HOLD: flags; key, rate card, admitted at; names of model and tags; lot and nanos of its first slice."""
SETTLE_LABEL: Final = struct.Struct("<xB2x24xq24xxxBB4xI4x")
"""Of a SETTLE: flags; charge; service tier's index, dialect; name of the model that answered."""


def settle_offset(record: bytes) -> int:
    """Where the SETTLE begins in the bytes of a plain settlement; 0 where they are anything else."""
    offset = record[2] | record[3] << 8
    size = len(record)
    if size < offset + _SETTLE_SIZE or record[0] != _HOLD or record[_SLICES_PLACE] != 1:
        return 0
    if record[offset] != _SETTLE or record[offset + 1] & tape.SETTLE_PASSES:
        return 0
    return offset if offset + (record[offset + 2] | record[offset + 3] << 8) == size else 0
