"""Verifying what pay runs are made of and what they left: roll-ups against the settlements, slips against their run's root."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select

from tokenroll.engine.chaining import leaf_hash, root_of_hashes
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.store import schema
from tokenroll.store.journal import slip_digest
from tokenroll.store.rollups import SpendKey

Differs = Callable[[str, str], None]
_ROWS_PER_FETCH = 2_000


def check_rollups(connection: Connection, sums: dict[SpendKey, list[int]], differs: Differs) -> int:
    """Every stored sum against the settlements up to the mark; how many there are. `sums` is used up."""
    labels = {
        row.id: (row.model, row.project, bool(row.is_personal))
        for row in connection.execute(select(schema.spend_labels))
    }
    count = 0
    rows = connection.execute(select(schema.spend_rollups).execution_options(yield_per=_ROWS_PER_FETCH))
    for row in rows:
        count += 1
        label = labels.get(row.label_id, ("", "", False))
        key = SpendKey(row.cycle, row.wallet_id, row.lot_id, *label, row.day, bool(row.late))
        replayed = sums.pop(key, None)
        stored = [row.nanos, row.call_count]
        if replayed != stored or row.label_id not in labels:
            differs("rollup", f"{_named(key)} is rolled up to {stored} (nanos, calls); the settlements give {replayed}")
    for key, replayed in sums.items():
        differs("rollup", f"{_named(key)} is not rolled up; the settlements give {replayed} (nanos, calls)")
    return count


def check_slips(connection: Connection, differs: Differs) -> int:
    """Every slip of a run with a root against that root; how many there are."""
    slips = schema.pay_slips
    count = 0
    for run in connection.execute(select(schema.pay_runs).where(schema.pay_runs.c.slips_root.is_not(None))).all():
        hashes: list[bytes] = []
        query = select(slips).where(slips.c.pay_run_id == run.id).order_by(slips.c.id)
        for row in connection.execute(query.execution_options(yield_per=_ROWS_PER_FETCH)):
            _check_slip(row, hashes, differs)
        count += len(hashes)
        if len(hashes) != run.slip_count or root_of_hashes(hashes) != run.slips_root:
            differs(
                "slips",
                f"run {run.public_id} of {run.cycle_name} was of {run.slip_count} slips with root {run.slips_root.hex()}; "
                f"its {len(hashes)} slips have root {root_of_hashes(hashes).hex()}",
            )
    return count


def _check_slip(row: Any, hashes: list[bytes], differs: Differs) -> None:
    digest = slip_digest(row.id, row.public_id, row.pay_run_id, row.wallet_id, row.values_json)
    hashes.append(leaf_hash(digest))
    if digest != row.digest:
        differs("slip", f"pay slip {row.public_id} of wallet {row.wallet_id} is not as its run stored it")


def _named(key: SpendKey) -> str:
    what = "the company's part" if key.lot_id == COMPANY_LOT_ID else f"lot {key.lot_id}"
    return f"{what} of wallet {key.wallet_id} in cycle {key.cycle}, day {key.day}, {key.model or 'no model'}"
