"""A plain settlement: a row whose bytes are a HOLD of one slice and the SETTLE of its whole answer, read without making records of them.

Nearly every row is one, and the ledger reads each of them again to sum it (`rollups.py`, `usage_rollups.py`). What is rarer is read by
`attempt_record.parse_record`, and so is everything by `journal verify`, which thereby proves this way of reading right.
"""

import struct
from typing import Final, TypeAlias

from tokenroll.store import tape
from tokenroll.store.tape import RecordType

_HOLD: Final = int(RecordType.HOLD)
_SETTLE: Final = int(RecordType.SETTLE)
_SHORT_HOLD: Final = int(RecordType.SHORT_HOLD)
_SHORT_SETTLE: Final = int(RecordType.SHORT_SETTLE)
_SETTLE_SIZE: Final = tape.SETTLE.size
_SHORT_SETTLE_SIZE: Final = tape.SHORT_SETTLE.size
_SLICES_PLACE: Final = 5
"""Where a HOLD says how many slices it has."""
_HOLD_LABEL: Final = struct.Struct("<xBxxxxxx16x8xqqq16xIxxxxI20xqq")
_SHORT_HOLD_LABEL: Final = struct.Struct("<xBxxxxxxIIqHxxI16xIq")
_SETTLE_LABEL: Final = struct.Struct("<xB2x24xq24xxxBB4xI4x")
_SHORT_SETTLE_LABEL: Final = struct.Struct("<xB2x12xI12xxBBxxH6x")

HoldLabel: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""Of a HOLD: flags; key, rate card, admitted at; names of model and tags; lot and nanos of its first slice."""
SettleLabel: TypeAlias = tuple[int, int, int, int, int]
"""Of a SETTLE: flags; charge; service tier's index, dialect; name of the model that answered."""


def hold_label(record: bytes) -> HoldLabel:
    """What the HOLD of a plain settlement says."""
    label = _SHORT_HOLD_LABEL if record[0] == _SHORT_HOLD else _HOLD_LABEL
    found: HoldLabel = label.unpack_from(record)
    return found


def settle_label(record: bytes, offset: int) -> SettleLabel:
    """What the SETTLE at `offset` of a plain settlement says."""
    label = _SHORT_SETTLE_LABEL if record[offset] == _SHORT_SETTLE else _SETTLE_LABEL
    found: SettleLabel = label.unpack_from(record, offset)
    return found


def settle_offset(record: bytes) -> int:
    """Where the SETTLE begins in the bytes of a plain settlement; 0 where they are anything else."""
    size = len(record)
    if size < _SHORT_SETTLE_SIZE:
        return 0
    if record[0] != _SHORT_HOLD and (record[0] != _HOLD or record[_SLICES_PLACE] != 1):
        return 0
    offset = record[2] | record[3] << 8
    if size < offset + _SHORT_SETTLE_SIZE:
        return 0
    if record[offset] != _SHORT_SETTLE and (
        record[offset] != _SETTLE or size < offset + _SETTLE_SIZE or record[offset + 1] & tape.SETTLE_PASSES
    ):
        return 0
    return offset if offset + (record[offset + 2] | record[offset + 3] << 8) == size else 0
