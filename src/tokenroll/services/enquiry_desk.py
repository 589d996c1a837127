"""The enquiry desk: asks providers about answers that go on after their calls, beside a ledger that it never keeps waiting.

What it reads and settles it does on the ledger's own loop, in moments; what it asks it asks in threads, one for each deployment.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limits import ENQUIRIES_IN_VAIN_MAX, ENQUIRY_SECONDS, ENQUIRY_SECONDS_MAX
from tokenroll.services.finding_out import Enquiry, enquiry_about
from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import Command
from tokenroll.services.rounds import Rounds
from tokenroll.upstream.stored import Asking, Finding, asking_about

_log = logging.getLogger(__name__)
_OK: Final = 200
_UNKNOWN: Final = frozenset({404, 410})

Ask = Callable[[str, str], AbstractContextManager[tuple[int, Iterable[bytes]]]]
"""By a deployment's name and a path: the status of the answer and its lines. Raises OSError when there is none."""


class _Outcome(NamedTuple):
    """What one conversation came to. `is_unknown`: the provider does not have it."""

    enquiry: Enquiry
    finding: Finding | None
    is_unknown: bool
    error: str


class _Plan:
    """When an attempt is asked about next."""

    __slots__ = ("enquiry", "in_vain", "next_at", "pause_seconds")

    def __init__(self, enquiry: Enquiry) -> None:
        self.enquiry = enquiry
        self.in_vain = 0
        self.pause_seconds = float(ENQUIRY_SECONDS)
        self.next_at = enquiry.lapsed_at + int(ENQUIRY_SECONDS * MICROS_PER_SECOND)

    def put_off(self, now: Instant) -> None:
        """Later, and the next time later still."""
        self.next_at = now + int(self.pause_seconds * MICROS_PER_SECOND)
        self.pause_seconds = min(self.pause_seconds * 1.5, ENQUIRY_SECONDS_MAX)


class EnquiryDesk(Rounds):
    """See the module. What is being asked when it closes is asked again by the next ledger."""

    name = "enquiries"

    def __init__(
        self, ledger: Ledger, ask: Ask, publish: Callable[[], None], *, seconds: float = ENQUIRY_SECONDS
    ) -> None:
        super().__init__(seconds)
        self._ledger = ledger
        self._ask = ask
        self._publish = publish
        """Tells workers what came back to their wallets."""
        self._plans: dict[int, _Plan | None] = {}
        """By hold key; None: nobody keeps it under a name."""
        self._asking: set[str] = set()
        """Deployments that are being asked."""

    def _round(self) -> Iterable[object]:
        """A thread for each deployment that has something due and is not being asked already."""
        loop = asyncio.get_running_loop()
        parts: dict[str, list[Enquiry]] = {}
        for one in self.due():
            if one.deployment not in self._asking:
                parts.setdefault(one.deployment, []).append(one)
        for deployment, enquiries in parts.items():
            self._asking.add(deployment)
            threading.Thread(
                target=self._ask_all, args=(loop, deployment, enquiries), daemon=True, name=f"enquiries-{deployment}"
            ).start()
        return ()

    def due(self) -> list[Enquiry]:
        """Attempts to be asked about now."""
        now = self._ledger.now()
        holds = {hold.key: hold for hold in self._ledger.holds_in_suspense()}
        for key in self._plans.keys() - holds.keys():
            del self._plans[key]
        for key in holds.keys() - self._plans.keys():
            enquiry = enquiry_about(self._ledger, holds[key])
            self._plans[key] = None if enquiry is None else _Plan(enquiry)
        return [
            plan.enquiry
            for plan in self._plans.values()
            if plan is not None and plan.next_at <= now and plan.in_vain < ENQUIRIES_IN_VAIN_MAX
        ]

    def _ask_all(self, loop: asyncio.AbstractEventLoop, deployment: str, enquiries: list[Enquiry]) -> None:
        """In a thread: each enquiry in turn, told to the ledger's loop as soon as it is answered."""
        for one in enquiries:
            outcome = converse(self._ask, one)
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.note, outcome)
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._asking.discard, deployment)

    def note(self, outcome: _Outcome) -> None:
        """What one conversation came to: settled, or asked again later."""
        if self.is_over:
            return
        plan = self._plans.get(outcome.enquiry.hold_key)
        if plan is None:
            return
        if outcome.finding is not None and self._settle(plan.enquiry, outcome.finding):
            del self._plans[plan.enquiry.hold_key]
            return
        plan.put_off(self._ledger.now())
        if outcome.is_unknown:
            plan.in_vain += 1
        if outcome.error:
            _log.warning("call %s could not be asked about: %s", plan.enquiry.call_id, outcome.error)

    def _settle(self, enquiry: Enquiry, finding: Finding) -> bool:
        command = Command(
            id=f"enquiry-{enquiry.hold_key}",
            name="suspense.find",
            arguments={
                "hold": enquiry.hold_key, "usages": [list(one) for one in finding.usages], "service_tier": finding.service_tier,
                "dialect": finding.dialect_index, "is_doubtful": finding.is_doubtful,
            },
        )  # fmt: skip
        reply = self._ledger.execute(command)
        self._publish()
        if reply.result is None:
            _log.warning("call %s stays in suspense: %s", enquiry.call_id, reply.problem)
        return reply.result is not None


def converse(ask: Ask, enquiry: Enquiry) -> _Outcome:
    """One conversation with a provider about one attempt, to its end."""
    asking: Asking | None = asking_about(enquiry.stored_name)
    if asking is None:
        return _Outcome(enquiry, None, is_unknown=True, error="")
    try:
        while asking.finding is None and not asking.is_over:
            with ask(enquiry.deployment, asking.path) as (status, lines):
                if status != _OK:
                    error = "" if status in _UNKNOWN else f"{enquiry.deployment} answers {status}"
                    return _Outcome(enquiry, None, status in _UNKNOWN, error)
                for line in lines:
                    asking.feed(line)
            asking.end()
    except (OSError, ValueError) as error:
        return _Outcome(enquiry, None, is_unknown=False, error=str(error) or type(error).__name__)
    return _Outcome(enquiry, asking.finding, is_unknown=False, error="")
