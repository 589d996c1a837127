"""What each department may still spend: the wallets of its members and its pools, by the lots that are available at an instant."""

from sqlalchemy import Connection, func, select

from tokenroll.engine.balance import balance_at
from tokenroll.model.instant import Instant
from tokenroll.model.limits import LIVE_WALLETS_MAX
from tokenroll.model.wallet import HolderKind
from tokenroll.services.holdings import states_by_wallet
from tokenroll.store import schema


def available_by_department(connection: Connection, now: Instant, nobodys: str) -> dict[str, int]:
    """Nanos by the department's name; what serves everybody is under `nobodys`. Empty where the wallets are too many to be read now and then."""
    if (connection.scalar(select(func.count()).select_from(schema.wallets)) or 0) > LIVE_WALLETS_MAX:
        return {}
    departments = _departments(connection)
    found: dict[str, int] = {}
    for wallet_id, states in states_by_wallet(connection).items():
        name = departments.get(wallet_id, nobodys)
        found[name] = found.get(name, 0) + balance_at(states, now, leased=False).available_nanos
    return found


def _departments(connection: Connection) -> dict[int, str]:
    """The department of each wallet that has one."""
    wallets, members, pools, departments = schema.wallets, schema.members, schema.pools, schema.departments
    of_members = (
        select(wallets.c.id, departments.c.name)
        .join(members, (wallets.c.holder_kind == HolderKind.MEMBER.value) & (members.c.id == wallets.c.holder_id))
        .join(departments, departments.c.id == members.c.department_id)
    )
    of_pools = select(pools.c.wallet_id, departments.c.name).join(
        departments, departments.c.id == pools.c.department_id
    )
    return {row[0]: row[1] for query in (of_members, of_pools) for row in connection.execute(query)}
