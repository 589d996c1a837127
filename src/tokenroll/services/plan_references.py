"""What a plan names of the ledger: departments and pools that are not there are typing errors, and would shut everybody out."""

from collections.abc import Iterable

from sqlalchemy import Connection, select

from tokenroll.model.limits import NAMES_TOLD_MAX
from tokenroll.model.plan import Plan
from tokenroll.model.wallet import HolderKind
from tokenroll.store import schema


def unknown_references(connection: Connection, plan: Plan) -> list[str]:
    """One sentence for each name that nothing has, with the field that says it and the names there are."""
    found: list[str] = []
    if plan.terms.eligibility.departments:
        known = set(connection.scalars(select(schema.departments.c.name)))
        found.extend(
            f"eligibility.departments names {name!r}, and there is no such department: {_there_are(known)}"
            for name in plan.terms.eligibility.departments
            if name not in known
        )
    if plan.terms.floor is not None:
        wallets = schema.wallets
        pools = set(connection.scalars(select(wallets.c.name).where(wallets.c.holder_kind != HolderKind.MEMBER.value)))
        if plan.terms.floor.pool not in pools:
            found.append(f"floor.pool names {plan.terms.floor.pool!r}, and there is no such pool: {_there_are(pools)}")
    return found


def _there_are(names: Iterable[str]) -> str:
    listed = sorted(names)
    if not listed:
        return "there is none yet"
    more = len(listed) - NAMES_TOLD_MAX
    return f"there are {', '.join(listed[:NAMES_TOLD_MAX])}{f' and {more} more' if more > 0 else ''}"
