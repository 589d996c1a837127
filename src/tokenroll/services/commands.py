"""Every write there is, by the name it has on the wire. A door can do nothing that is not in this table.

Handlers are found by name and imported when first asked for: published prices alone take longer to import than most commands
take to run, and only an import of rate cards needs them.
"""

import importlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from tokenroll.services.arguments import checked_arguments, declared_arguments
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import Handler, UnitOfWork

_PLACES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "company.set": "people.set_company",
        "department.create": "people.create_department",
        "member.create": "people.create_member",
        "member.leave": "people.leave",
        "member.absence": "absences.record_absence",
        "member.change": "member_commands.change",
        "member.suspend": "member_commands.suspend",
        "member.resume": "member_commands.resume",
        "member.import": "member_files.import_members",
        "user.put": "provisioning.put_user",
        "user.remove": "provisioning.remove_user",
        "group.put": "provisioning.put_group",
        "group.remove": "provisioning.remove_group",
        "pool.create": "people.create_pool",
        "pool.set": "people.set_pool",
        "plan.create": "planning.create_plan",
        "plan.apply": "plan_files.apply_plans",
        "plan.reclassify": "reclassifying.reclassify_plan",
        "grant.create": "granting.create_grant",
        "grant.top_up": "granting.top_up",
        "grant.import": "proposing.import_unless_approval_is_required",
        "grant.void": "ending.void_grant",
        "grant.forfeit": "ending.forfeit_grant",
        "grant.clawback": "ending.claw_back_grant",
        "grant.accelerate": "moving.accelerate",
        "grant.vest": "moving.vest_event",
        "wallet.transfer": "moving.transfer",
        "approver.set": "approving.set_approver",
        "approver.remove": "approving.remove_approver",
        "approver.delegate": "approving.delegate",
        "request.create": "approving.create_request",
        "request.approve": "approving.approve",
        "request.decline": "approving.decline",
        "proposal.create": "proposing.create_proposal",
        "proposal.approve": "proposing.approve_proposal",
        "proposal.require": "proposing.require_approval",
        "proposal.reject": "proposing.reject_proposal",
        "offer.create": "offering.create_offer",
        "offer.accept": "offering.accept_offer",
        "offer.decline": "offering.decline_offer",
        "offer.withdraw": "offering.withdraw_offer",
        "offer.extend": "offering.extend_offer",
        "offer.grant": "offering.grant_offer",
        "wallet.open": "opening_files.open_wallets",
        "refill.create": "refilling.create_refill",
        "refill.remove": "refilling.remove_refill",
        "refill.run": "refilling.run_refills",
        "key.create": "keyring.create_key",
        "key.change": "keyring.change_key",
        "key.rotate": "keyring.rotate_key",
        "key.revoke": "keyring.revoke_key",
        "usage.charge": "charging.charge",
        "ratecard.import": "pricing.import_cards",
        "ratecard.set": "pricing.set_card",
        "limit.create": "limiting.create_limit",
        "limit.override": "limiting.override_limit",
        "limit.remove": "limiting.remove_limit",
        "alert.note": "alerting.note",
        "alert.test": "alerting.send_test",
        "alert.retry": "alerting.retry",
        "payrun.close": "paying.close",
        "payrun.reopen": "reopening.reopen",
        "payrun.off_cycle": "reopening.off_cycle",
        "payrun.pay_days": "pay_days.set_pay_days",
        "payrun.calendar": "pay_calendars.set_calendar",
        "reconcile": "reconciling.reconcile",
        "reconcile.true_up": "report_comparing.book_true_ups",
        "suspense.decide": "reconciling.decide",
        "suspense.find": "finding_out.find_attempt",
        "lease.give_up": "reclaiming.give_up",
    }
)


class _Commands(Mapping[str, Handler]):
    """The table as handlers."""

    def __getitem__(self, name: str) -> Handler:
        return _checked(name, _found(name))

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


def declared(name: str) -> Any:
    """The TypedDict of what a command takes."""
    return declared_arguments(_found(name))


def _found(name: str) -> Handler:
    module, _, function = _PLACES[name].partition(".")
    return cast("Handler", getattr(importlib.import_module(f"tokenroll.services.{module}"), function))


def _checked(name: str, handler: Handler) -> Handler:
    """The handler, which gets what it has declared and nothing else.

    A noun's own complaint (`amount must …`) is turned into a refusal: it is the asker's to correct.
    """
    taken = declared_arguments(handler)

    def handle(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
        given = checked_arguments(name, taken, arguments)
        try:
            return handler(work, given)
        except ValueError as error:
            raise Refused("invalid", str(error)) from error

    return handle


COMMANDS: Final[Mapping[str, Handler]] = _Commands()
