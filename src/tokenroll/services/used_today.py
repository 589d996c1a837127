"""What calls have used of a day, by wallet: with it a new worker goes on counting the rates of a day that plans name.

Read from the sums that usage reports are made of, and of the few settlements that are not summed yet: what a call came to counts by
the day of its admission in UTC. An attempt in suspense counts by its record: one call, its bytes and its cap.
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, select

from tokenroll.model.instant import Instant
from tokenroll.model.limits import REPORT_TAIL_SETTLEMENTS_MAX
from tokenroll.model.plan_terms import Access
from tokenroll.model.usage import INPUT_METERS, OUTPUT_METERS, Meter
from tokenroll.model.wallet import HolderKind
from tokenroll.store import schema
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.database import raw_connection
from tokenroll.store.usage_rollups import (
    UsageLabel,
    UsageSum,
    add_after,
    floored,
    labels_by_id,
    unpacked,
    usage_rolled_through,
    usage_sums_of,
)

_DAY_SECONDS: Final = 86_400
_SUMS: Final = (
    "SELECT label_id, call_count, charge_nanos, parts FROM usage_rollups WHERE grain_seconds = ? AND start_at = ?"
)
_SUSPENSE: Final = "suspense"


def has_day_rate(access: Access) -> bool:
    """Whether a plan says how much in a day; nearly none does."""
    return any(
        (
            access.calls_per_day_max,
            access.tokens_per_day_max,
            access.input_tokens_per_day_max,
            access.output_tokens_per_day_max,
        )
    )


class UsedToday:
    """The day that `now` is in. Reads nothing until somebody asks, and then once for all wallets."""

    def __init__(self, connection: Connection, now: Instant) -> None:
        self._connection = connection
        self.day_start_at = floored(now, _DAY_SECONDS)
        self._used: dict[int, list[int]] | None = None

    def of(self, wallet_id: int) -> list[int]:
        """Calls, model tokens, input tokens (what was read from a cache is none) and output tokens."""
        if self._used is None:
            self._used = self._read()
        return self._used.get(wallet_id, [0, 0, 0, 0])

    def _read(self) -> dict[int, list[int]]:
        keys, wallets = schema.api_keys.c, schema.wallets.c
        own = (wallets.holder_id == keys.member_id) & (wallets.holder_kind == HolderKind.MEMBER.value)
        query = select(keys.id, wallets.id).join(schema.wallets, own)
        wallet_of: dict[int, int] = {row[0]: row[1] for row in self._connection.execute(query)}
        found: dict[int, list[int]] = {}
        for label, one in self._sums():
            cached = one.count(Meter.CACHE_READ)
            read, written = one.count(*INPUT_METERS), one.count(*OUTPUT_METERS)
            self._add(found, wallet_of.get(label.api_key_id, 0), one.call_count, read, cached, written)
        holds = schema.holds.c
        for record in self._connection.scalars(select(holds.record).where(holds.state == _SUSPENSE)):
            hold = parse_record(record).hold
            if hold.admitted_at >= self.day_start_at:
                wallet_id = wallet_of.get(hold.api_key_id, 0)
                self._add(found, wallet_id, 1, hold.input_bytes, 0, hold.output_cap_tokens)
        return found

    def _sums(self) -> Iterator[tuple[UsageLabel, UsageSum]]:
        labels = labels_by_id(self._connection)
        for label_id, calls, charge_nanos, parts in raw_connection(self._connection).execute(
            _SUMS, (_DAY_SECONDS, self.day_start_at)
        ):
            one = UsageSum()
            one.add(calls, charge_nanos, unpacked(parts))
            yield labels[label_id], one
        tail = usage_sums_of(self._connection)
        add_after(self._connection, tail, usage_rolled_through(self._connection), REPORT_TAIL_SETTLEMENTS_MAX)
        for (start_at, label), one in tail.sums.items():
            if floored(start_at, _DAY_SECONDS) == self.day_start_at:
                yield label, one

    @staticmethod
    def _add(found: dict[int, list[int]], wallet_id: int, calls: int, read: int, cached: int, written: int) -> None:
        used = found.setdefault(wallet_id, [0, 0, 0, 0])
        for place, more in enumerate((calls, read + written, read - cached, written)):
            used[place] += more
