"""Every write there is, by the name it has on the wire. A door can do nothing that is not in this table."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tokenroll.services import granting, keyring, paying, people, planning, pricing
from tokenroll.services.unit_of_work import Handler, Refused, UnitOfWork


def _in_words(handler: Handler) -> Handler:
    """The handler with a noun's own complaint (`amount must …`) turned into a refusal: it is the asker's to correct."""

    def handle(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return handler(work, arguments)
        except ValueError as error:
            raise Refused("invalid", str(error)) from error

    return handle


_HANDLERS: Final[dict[str, Handler]] = {
    "company.set": people.set_company,
    "department.create": people.create_department,
    "member.create": people.create_member,
    "member.leave": people.leave,
    "pool.create": people.create_pool,
    "plan.create": planning.create_plan,
    "grant.create": granting.create_grant,
    "grant.top_up": granting.top_up,
    "key.create": keyring.create_key,
    "key.revoke": keyring.revoke_key,
    "ratecard.import": pricing.import_cards,
    "ratecard.set": pricing.set_card,
    "payrun.close": paying.close,
}
COMMANDS: Final[Mapping[str, Handler]] = MappingProxyType({name: _in_words(one) for name, one in _HANDLERS.items()})
