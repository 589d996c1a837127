"""What denials tell of approvers: one setting, written by whatever changes who approves or what they are called (decision 0097)."""

from sqlalchemy import Connection, select

from tokenroll.model.limits import APPROVERS_TOLD_MAX
from tokenroll.services.leases import ANOTHER_APPROVER, APPROVER_SETTING, OF_DEPARTMENT
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema


def tell_denials(work: UnitOfWork) -> None:
    """Workers hear who may approve top-ups, if it is not what they were told last."""
    if not is_told(work.connection):
        work.setting_changed(APPROVER_SETTING, _approvers(work.connection))


def is_told(connection: Connection) -> bool:
    """Whether what is stored for denials is what is so: an earlier release stored it otherwise."""
    settings = schema.settings.c
    stored = connection.scalar(select(settings.value).where(settings.name == APPROVER_SETTING))
    return (stored or "") == _approvers(connection)


def _approvers(connection: Connection) -> str:
    """One a line: first who approves for everybody, then for a department alone, with its name. Who left or is suspended helps nobody."""
    rules, members, departments = schema.approvers.c, schema.members.c, schema.departments.c
    query = (
        select(members.name, departments.name)
        .join(schema.approvers, rules.member_id == members.id)
        .outerjoin(schema.departments, departments.id == rules.department_id)
        .where(rules.ended_at.is_(None), members.left_on.is_(None), members.suspended_at.is_(None))
        .order_by(rules.department_id.is_not(None), rules.id)
    )
    told = [
        name if department is None else f"{name}{OF_DEPARTMENT}{department})"
        for name, department in connection.execute(query)
    ]
    if len(told) > APPROVERS_TOLD_MAX:
        told[APPROVERS_TOLD_MAX:] = [ANOTHER_APPROVER]
    return "\n".join(told)
