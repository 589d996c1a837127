"""Admission and settlement inside a worker's leases, in memory and on its tape. No SQL, no I/O (DESIGN §5, §6).

The worker alone chooses slices, in draw order; the ledger only applies what the tape says. Everything a call needs is an integer in
a slotted object, because some twelve microseconds of Python are all that a call may cost.
"""

import struct
from typing import Any, Final

from tokenroll.engine.drawing import DRAWN_SLICES_MAX
from tokenroll.model.enforcement import CapPolicy, Enforcement
from tokenroll.model.hold import ReleaseReason
from tokenroll.model.identifier import HoldKey, IdentifierError, call_number, hold_key_from_call
from tokenroll.model.instant import Instant
from tokenroll.model.limits import (
    AMOUNT_NANOS_MAX,
    NAMES_REMEMBERED_MAX,
    OUTPUT_CAP_FLOOR_TOKENS,
    TAGS_BYTES_MAX,
)
from tokenroll.model.tag import PURPOSE, Purpose, merged_tags, named_tag
from tokenroll.services.above_hold import AboveHold
from tokenroll.services.call_memory import CallMemory, SettledCall, may_have_ended, repeated
from tokenroll.services.call_records import hold_record, settle_record
from tokenroll.services.clock import Clock
from tokenroll.services.hot import Deployment, HotHold, HotKey, Wait
from tokenroll.services.hot_contexts import bound_beyond_bytes, no_maximum, not_sold, rates_of
from tokenroll.services.hot_limits import Reroute, rerouted
from tokenroll.services.hot_prices import HotCard
from tokenroll.services.leases import Leases
from tokenroll.services.limit_fitting import fit
from tokenroll.services.limit_rules import fitting_cap
from tokenroll.services.metering import charge_of, charge_of_passes, estimated_counts
from tokenroll.services.protocol import Amounts, AskBack, Delta, Lease, Lent, View
from tokenroll.services.sized_lease import Part, return_records
from tokenroll.services.spending_views import cycle_ends_at, remembered_view, told_wallet_view, wallet_view
from tokenroll.store import tape as tapes
from tokenroll.store.attempt_record import SettleRecord, pack_settle
from tokenroll.store.tape import Finish, RecordType, TapeRelease, TapeSource, TapeWriter
from tokenroll.upstream.dialect import CallMeter, Denial, Dialect
from tokenroll.upstream.facts import Facts

_WIDE: Final = tapes.WIDE_COUNTS
_DISPATCHED_ONE: Final = struct.Struct(tapes.DISPATCHED_HEAD.format + "Q")
_DISPATCHED_TYPE: Final = int(RecordType.DISPATCHED)
_DISPATCHED_HOLDS_MAX: Final = (tapes.RECORD_BYTES_MAX - tapes.DISPATCHED_HEAD.size) // 8
_REPORTED: Final = int(TapeSource.REPORTED)
_ESTIMATED: Final = int(TapeSource.ESTIMATED)
_RELEASES: Final = {
    ReleaseReason.NOT_SENT: TapeRelease.NOT_SENT,
    ReleaseReason.PROVIDER_ERROR: TapeRelease.PROVIDER_ERROR,
    ReleaseReason.NEVER_DISPATCHED: TapeRelease.NEVER_DISPATCHED,
    ReleaseReason.COALESCED: TapeRelease.COALESCED,
    ReleaseReason.LOOP_BROKEN: TapeRelease.LOOP_BROKEN,
}
_OTHER_ENDPOINTS: Final = {"openai": ("anthropic", "/v1/messages"), "anthropic": ("openai", "/v1/chat/completions")}
"""By dialect: the other one's provider, and where its models are called."""
_PERSONAL: Final = named_tag(PURPOSE, Purpose.PERSONAL)
_ONCE_NAMES_FROM: Final = 1 << 31
"""Names used by one record only (client call ids, provider request ids) count from here and are not remembered."""
_ONCE_NAMES_LAST: Final = (1 << 32) - 1
"""The largest number that a NAME record holds."""


class Spending(Leases):
    """What one worker may spend and has spent. Every method is synchronous and does no I/O; the caller awaits durability.

    A hold ends once: a second end raises AssertionError, because money must never return twice.
    """

    def __init__(self, tape: TapeWriter, clock: Clock, pepper: bytes) -> None:
        super().__init__(pepper)
        self.limits.life = (tape.worker, tape.epoch)
        self.tape = tape
        self.clock = clock
        self.open_holds: dict[int, HotHold] = {}
        """By the sequence of their HOLD."""
        self._memory = CallMemory()
        self._once_names = _ONCE_NAMES_FROM
        base = call_number(0, HoldKey(tape.worker, tape.epoch, 0))
        self._call_high, self._call_low = divmod(base, 1 << 64)
        self._recorded_at = 0
        self.above_hold = AboveHold()
        self.limit_wait_micros = 0
        """How long a call may be held back until a pace has room for it; 0: it is refused at once."""

    def apply_view(self, view: View) -> None:
        """Keys, cards, settings, and the clients' call ids of earlier lives; parts may come in any number."""
        super().apply_view(view)
        for terms in view.client_calls:
            self._memory.learn(terms)

    def apply_lease(self, lease: Lease) -> None:
        """See Leases."""
        super().apply_lease(lease)
        if self.sized is not None:
            self.wallets.lent_at = lambda: self._stamp(self.clock())  # as the next call is admitted

    def apply_delta(self, delta: Delta, now: Instant = 0) -> bool:
        """See Leases. What it makes the worker give of its lots is on the tape when this returns."""
        applied = super().apply_delta(delta, now or self.clock())
        if self._given:
            self._record_given()
        return applied

    def is_for(self, key: HotKey, deployment: Deployment, model: str) -> bool:
        """Whether a key's own list has the model that a limit or the floor sends a call to, or that an errand names."""
        if not key.models:
            return True
        card = self.prices.card_for(deployment.provider, deployment.model or model, self.clock())
        return card is not None and not key.shut_to(card.card.model, card.card.aliases)

    # ---- admission ------------------------------------------------------------------------------------------------

    def admit(
        self,
        key: HotKey,
        dialect: Dialect,
        facts: Facts,
        now: Instant,
        *,
        deployment: Deployment,
        call_id: bytes | None = None,
        previous: HotHold | None = None,
        tags: str = "",
        may_wait: bool = True,
        reroute: Reroute | None = None,
        asked: Wait | None = None,
    ) -> HotHold | Denial | Wait | Reroute:
        """A hold whose HOLD record is appended, or why not. Nothing changes unless it is a hold.

        `call_id` is the client's own; a repeated one is denied with its state. A further attempt of the same call names the
        `previous` hold; it is authorised and bounded on its own. A `reroute` is what an earlier answer said, with the way to its model.
        `asked`: for what the ledger was asked and did not lend it, or not in time.
        """
        now = self._stamp(now)
        client_id = ""
        if call_id is not None and previous is None:
            client_id = call_id.decode("utf-8", "replace")
            if (told := self._named(key.id, client_id, asked)) is not None:
                return told
        model = deployment.model or facts.model
        card = self.prices.card_for(deployment.provider, model, now)
        if card is None:
            return self._unknown(dialect, facts, deployment.provider, now)
        tier = facts.service_tier or deployment.service_tier
        rates = (card.rates.get(tier) if facts.is_text else None) or rates_of(card, tier, facts)
        if rates is None:
            return not_sold(card, tier, facts)
        if reroute is not None and reroute.floor is not None and reroute.deployment is not None:
            key = reroute.floor
        wallet = key.wallet
        passes = (wallet.is_open and not key.models) or (card.id, tier) in key.passed
        shut = None if passes else self._shut(key, card, facts, tier)
        if shut is not None and wallet.enforcement == Enforcement.ENFORCE:
            return shut
        if (key.tags or facts.tags) and len(tags := merged_tags(tags, facts.tags, key.tags)) > TAGS_BYTES_MAX:
            return Denial("too_many_tags", model=facts.model, state=str(len(tags)))
        if now >= self.lease_expires_at or wallet.id == 0:
            return Denial("not_ready", scope=key.funding_text)
        moves = key.pool is not None or now >= wallet.next_change_at
        available = here = self._available(key, now) if moves else wallet.available_nanos
        hold = HotHold(key, card, rates, facts, dialect.index, model, now)
        hold.client_call_id = client_id
        if deployment.pin_tier and not facts.service_tier:
            hold.service_tier = tier
        if key.limits:
            hold.limited = self.limits.counting(key, card.card.model, tags, now)
        if reroute is not None:
            hold.limited = rerouted(hold.limited, reroute)
        if (sized := self.sized) is not None:
            available = sized.begin(hold, here := sized.here(here), asked)
        refusal = self._bound(hold, facts, available, may_wait=may_wait)
        if sized is not None:
            refusal = sized.refusal(hold, here, refusal, asked)
        if refusal is not None:
            return refusal
        if not self._draw(hold):
            return self._denial("too_many_lots", hold, available)
        if shut is not None:
            hold.would_deny = True  # after the bound, which decides for itself
        hold.available_after_nanos = available - hold.bound_nanos + hold.company_nanos
        self._record_hold(hold, facts, deployment.name, tags, previous)
        return hold

    def _named(self, key_id: int, client_id: str, asked: Wait | None) -> Denial | Wait | None:
        """What is told to a call that its client named, when the name is used or may be another worker's."""
        if (known := self._memory.by_client(key_id, client_id)) is None:
            return None if self.sized is None else self.sized.named((key_id, client_id), asked)
        told = None
        if self.sized is not None and may_have_ended(known):
            told = self.sized.named((key_id, client_id), asked)
        return repeated(known, client_id) if told is None else told

    def _unknown(self, dialect: Dialect, facts: Facts, provider: str, now: Instant) -> Denial:
        """A model without a rate card here, which may have one at the other dialect's endpoint."""
        other, endpoint = _OTHER_ENDPOINTS[dialect.family]
        served = other != provider and self.prices.card_for(other, facts.model, now) is not None
        return Denial("unknown_model", model=facts.model, state=endpoint if served else "")

    def _shut(self, key: HotKey, card: HotCard, facts: Facts, tier: str) -> Denial | None:
        """Why this call is none that the key's plan gives access to, or that the key itself is for; None when it is."""
        model, aliases = card.card.model, card.card.aliases
        what = key.wallet.shut_to(model, aliases, tier)
        if what:
            return Denial("no_access", scope=key.funding_text, model=facts.model, state=what)
        what = key.shut_to(model, aliases)
        if what:
            return Denial("not_for_model", scope=key.funding_text, model=facts.model, state=what)
        key.passed.add((card.id, tier))
        return None

    def _bound(self, hold: HotHold, facts: Facts, available: int, *, may_wait: bool) -> Denial | Wait | Reroute | None:
        """The hold's bound and cap (engine/bounding says the same in nouns, and a property test compares them), or why not."""
        rates = hold.rates
        input_tokens = facts.input_bytes + facts.extra_input_tokens + facts.message_count * rates.message_tokens
        if facts.has_tools:
            input_tokens += rates.request_tools_tokens + facts.tool_count * rates.tool_tokens
        cap = facts.output_cap_tokens
        if facts.beyond_bytes:
            refused = bound_beyond_bytes(hold, facts, available, input_tokens)
            if refused is not None:
                return refused
            input_tokens = hold.input_tokens_max
            fixed_grains = rates.request_grains + hold.beyond_grains
            if facts.batched is not None:
                cap = hold.output_tokens_max
        else:
            fixed_grains = rates.request_grains + input_tokens * rates.input_grains
        hold.input_tokens_max = input_tokens
        if cap == 0 and facts.has_output:
            cap = self._injected_cap(hold, facts, available, fixed_grains)
            if cap == 0:
                return no_maximum(facts)
            hold.cap_changed = facts.is_text  # a picture takes no cap
        hold.output_tokens_max = cap
        hold.bound_nanos = -(-(fixed_grains + facts.choice_count * cap * rates.output_grains) // rates.grains_per_nano)
        if hold.bound_nanos > AMOUNT_NANOS_MAX:
            return Denial("call_not_bounded", model=facts.model, state="its bound is above what one call may ever cost")
        if hold.bound_nanos > available:
            refusal: Denial | Wait | Reroute | None = self._short(
                hold, facts, available, fixed_grains, may_wait=may_wait
            )
            if refusal is not None:
                return refusal
        if hold.limited is not None:
            patience_micros = self.limit_wait_micros if may_wait else 0
            beyond = fit(hold, hold.limited, facts, available, fixed_grains, patience_micros)
            if beyond is not None:
                return beyond
        if hold.cap_changed:
            hold.output_cap_tokens = hold.output_tokens_max
        return None

    def _available(self, key: HotKey, now: Instant) -> int:
        wallet = key.wallet
        if now >= wallet.next_change_at:
            wallet.look(now)
        pool = key.pool
        if pool is None:
            return wallet.available_nanos
        if now >= pool.next_change_at:
            pool.look(now)
        return wallet.available_nanos + pool.available_nanos

    @staticmethod
    def _injected_cap(hold: HotHold, facts: Facts, available: int, fixed_grains: int) -> int:
        """The output cap of a call without one (DESIGN §6); 0: nothing names a maximum.

        The least of the model's maximum, the plan's default and what a quarter of the available affords, so that one call does not
        starve its parallel ones; never below the floor, nor at or below a thinking budget. Without enforcement the wallet does not
        shorten answers.
        """
        card = hold.card.card
        model_max = card.output_tokens_max or card.context_window_tokens
        if not facts.is_text:  # nothing can lower it; what is sold by units needs none
            return model_max or (0 if hold.rates.output_grains else 1)
        if model_max is None:
            return 0
        wallet = hold.key.wallet
        most = min(model_max, wallet.output_cap_tokens)
        floor = max(min(OUTPUT_CAP_FLOOR_TOKENS, most), facts.thinking_budget_tokens + 1)
        if wallet.enforcement != Enforcement.ENFORCE:
            return max(most, floor)
        rates = hold.rates
        affordable = fitting_cap(
            available // 4 * rates.grains_per_nano, fixed_grains, facts.choice_count * rates.output_grains
        )
        return max(min(most, affordable), floor)

    def _short(
        self, hold: HotHold, facts: Facts, available: int, fixed_grains: int, *, may_wait: bool
    ) -> Denial | Wait | Reroute | None:
        """A hold whose bound is above what is left: made to fit where policy says so (None), else told to wait, else denied."""
        if self.sized is not None and self.sized.may_ask:
            return None
        key = hold.key
        wallet = key.wallet
        missing = hold.bound_nanos - available
        if wallet.enforcement != Enforcement.ENFORCE:
            hold.company_nanos = missing
            hold.would_deny = True
            return None
        if missing <= wallet.overage_left_nanos:
            hold.company_nanos = missing
            hold.on_overage = True
            return None
        per_token_grains = facts.choice_count * hold.rates.output_grains
        budget_grains = available * hold.rates.grains_per_nano
        fitting = min(fitting_cap(budget_grains, fixed_grains, per_token_grains), hold.output_tokens_max)
        least = max(OUTPUT_CAP_FLOOR_TOKENS, facts.thinking_budget_tokens + 1)
        may_lower = not hold.cap_changed and facts.is_text and facts.batched is None
        if fitting < least or not may_lower:
            fitting = 0
        clamps = wallet.cap_policy == CapPolicy.CLAMP
        if fitting and clamps:
            hold.output_tokens_max = fitting
            hold.cap_changed = True
            hold.bound_nanos = -(-(fixed_grains + fitting * per_token_grains) // hold.rates.grains_per_nano)
            return None
        pool = key.pool
        held = key.in_use_nanos
        needed = hold.bound_nanos
        if clamps and may_lower:  # it takes what is there, yet not the first little that comes back
            least_nanos = -(-(fixed_grains + least * per_token_grains) // hold.rates.grains_per_nano)
            needed = min(needed, max(least_nanos, (available + held) // 2))
        if may_wait and needed - available <= held:
            until = 0 if self.sized is None else self.sized.asks_again_at(hold)
            return Wait(needed, (wallet,) if pool is None else (wallet, pool), until=until)
        # nobody embeds or draws with the floor's model: it talks
        if (
            key.floor is not None
            and facts.has_output
            and facts.is_text
            and facts.batched is None
            and (hold.limited is None or hold.limited.may_reroute)
        ):
            return Reroute(wallet.floor_model, "", key.floor)
        denial = self._denial("wallet_empty", hold, available)
        denial.fitting_cap_tokens = fitting
        denial.approver = self.approver_of(wallet.name)
        return denial

    def _denial(self, code: str, hold: HotHold, available: int) -> Denial:
        """With all that law 4 says a person must be told."""
        key = hold.key
        pool = key.pool
        arrivals = [key.wallet.next_arrival(hold.admitted_at)]
        if pool is not None:
            arrivals.append(pool.next_arrival(hold.admitted_at))
        when = min((at for at, _ in arrivals if at), default=0)
        return Denial(
            code,
            scope=key.funding_text,
            needed_nanos=hold.bound_nanos,
            left_nanos=available if self.sized is None else self.sized.left_of_all(hold, available),
            held_nanos=key.in_use_nanos,
            next_at=when,
            next_nanos=sum(nanos for at, nanos in arrivals if when and at == when),
            model=hold.model,
        )

    def _draw(self, hold: HotHold) -> bool:
        """Own lots in draw order, then the pool's, or the pool's first by its rule; and its limits are raised.

        False, and nothing taken, when that needs more slices than a hold may have.
        """
        key = hold.key
        need = hold.bound_nanos - hold.company_nanos
        missing = key.first.draw(need, hold.lots, hold.takes, DRAWN_SLICES_MAX)
        if missing and key.second is not None:
            missing = key.second.draw(missing, hold.lots, hold.takes, DRAWN_SLICES_MAX)
        if (
            missing and key.wallet.enforcement != Enforcement.ENFORCE
        ):  # refuse nobody: the company carries what lots too many hold
            hold.company_nanos += missing
            hold.would_deny = True
        elif missing:
            for lot, take in zip(hold.lots, hold.takes, strict=True):
                lot.wallet.held_nanos -= take
                lot.wallet.change(lot, take)
            return False
        if hold.on_overage:
            key.wallet.overage_left_nanos -= hold.company_nanos
            key.wallet.overage_held_nanos += hold.company_nanos
        if hold.limited is not None:
            hold.limited.lift()
        if self.sized is not None:
            self.sized.drawn(hold)
        return True

    def _record_hold(self, hold: HotHold, facts: Facts, deployment: str, tags: str, previous: HotHold | None) -> None:
        """The HOLD on the tape, and the hold among the open ones."""
        tape = self.tape
        model_name = tape.names.get(hold.model) or self._name(hold.model)
        deployment_name = tape.names.get(deployment) or self._name(deployment)
        tags_name = self._name(tags) if tags else 0
        client_name = self._name_client(hold) if hold.client_call_id else 0
        sequence = tape.next_sequence
        if previous is None:
            # model.identifier.call_number in two halves, because a machine word is much cheaper than 128 bits
            high, low = hold.admitted_at // 1000 << 16 | self._call_high, self._call_low | sequence
            hold.call_number_bytes = high.to_bytes(8, "big") + low.to_bytes(8, "big")
        else:
            hold.call_number_bytes = previous.call_number_bytes
            hold.attempt = previous.attempt + 1
            previous.later = hold
        flags = (
            facts.cache_aid
            | (tapes.HOLD_STREAM if facts.stream else 0)
            | (tapes.HOLD_WOULD_DENY if hold.would_deny else 0)
            | (tapes.HOLD_CAP_INJECTED if hold.cap_changed else 0)
        )
        if _PERSONAL in tags and _PERSONAL in tags.split(","):
            flags |= tapes.HOLD_PERSONAL
        limited = hold.limited
        raised = b""
        if limited is not None and limited.limits:
            raised = limited.record()
            if raised:
                flags |= tapes.HOLD_LIMITED
        record = hold_record(hold, facts, flags, raised, model_name, deployment_name, tags_name, client_name)
        hold.sequence = tape.append(record)
        self.open_holds[sequence] = hold
        if previous is None:
            self._memory.remember(hold)

    # ---- on the way -----------------------------------------------------------------------------------------------

    def dispatched(self, holds: list[HotHold], now: Instant) -> None:
        """One DISPATCHED record for all of them. Raises AssertionError for one that has ended or was dispatched before."""
        for hold in holds:
            assert hold.state == "held" and not hold.dispatched, f"hold {hold.sequence} cannot be dispatched again"  # noqa: PT018
            hold.dispatched = True
        now = self._stamp(now)
        if len(holds) == 1:
            record = _DISPATCHED_ONE.pack(_DISPATCHED_TYPE, 0, _DISPATCHED_ONE.size, now, holds[0].sequence)
            self.tape.append(record)
            return
        for start in range(0, len(holds), _DISPATCHED_HOLDS_MAX):
            group = [hold.sequence for hold in holds[start : start + _DISPATCHED_HOLDS_MAX]]
            length = tapes.DISPATCHED_HEAD.size + 8 * len(group)
            head = tapes.DISPATCHED_HEAD.pack(_DISPATCHED_TYPE, 0, length, now)
            self.tape.append(head + struct.pack(f"<{len(group)}Q", *group))

    def evidence(self, hold: HotHold, meter: CallMeter, now: Instant, status: int = 200) -> None:
        """What has been seen of the answer so far: what settles the hold should this worker die and no bill come."""
        counts = tapes.pack_counts(meter.counts if meter.saw_usage else estimated_counts(hold, meter))
        head = tapes.EVIDENCE.pack(
            RecordType.EVIDENCE, _WIDE, tapes.EVIDENCE.size + len(counts), hold.sequence, self._stamp(now),
            meter.delivered_output_bytes, _source(meter), Finish.UNKNOWN, status,
        )  # fmt: skip
        self.tape.append(head + counts)

    # ---- the one end of a hold ------------------------------------------------------------------------------------

    def settle(self, hold: HotHold, meter: CallMeter, now: Instant, status: int, finish: Finish) -> int:
        """The hold's end by the meter's counts; the tail returns to its lots. The charge in nanos.

        What the charge exceeds the hold by is the company's (DESIGN §2, Overage). Raises AssertionError for a hold that has ended or
        was never dispatched.
        """
        assert hold.dispatched, f"hold {hold.sequence} was never dispatched and cannot have cost"
        if meter.passes is not None and meter.saw_usage:
            return self._settle_passes(hold, meter, now, status, finish)
        # whatever could go wrong comes before the end: a hold that is no longer open must have its record
        mask, values, is_reported, tier_index, nanos, list_nanos, net_nanos = charge_of(hold, meter)
        names = self.tape.names
        answered = meter.answered_model
        answered_name = (names.get(answered) or self._name(answered)) if answered else 0
        request_name = self._name_once(meter.provider_request_id) if meter.provider_request_id else 0
        now = self._end(hold, "settled", now)
        hold.charge_nanos = nanos
        record = settle_record(
            hold, now, finish, status, mask, values, is_reported, tier_index, nanos, list_nanos, net_nanos,
            meter.delivered_output_bytes, answered_name, request_name,
        )  # fmt: skip
        self.tape.append(record)
        if hold.limited is not None:
            hold.limited.true_up(nanos, mask, values)
        self._return(hold, nanos)
        self._memory.settled(hold)
        return nanos

    def _settle_passes(self, hold: HotHold, meter: CallMeter, now: Instant, status: int, finish: Finish) -> int:
        """The same for an answer in which models ran several times: its record says what each pass counted."""
        charge, passes = charge_of_passes(hold, meter, self.prices)
        mask, values, is_reported, tier_index, nanos, list_nanos, net_nanos = charge
        answered_name = self._name(meter.answered_model) if meter.answered_model else 0
        request_name = self._name_once(meter.provider_request_id) if meter.provider_request_id else 0
        now = self._end(hold, "settled", now)
        hold.charge_nanos = nanos
        record = SettleRecord(
            now, hold.first_byte_at, nanos, list_nanos, net_nanos, meter.delivered_output_bytes,
            _REPORTED if is_reported else _ESTIMATED, finish, tapes.SERVICE_TIERS[tier_index], hold.dialect_index, status,
            answered_name, request_name, tuple(meter.counts), passes,
        )  # fmt: skip
        self.tape.append(pack_settle(hold.sequence, record))
        if hold.limited is not None:
            hold.limited.true_up(nanos, mask, values)
        self._return(hold, nanos)
        self._memory.settled(hold)
        return nanos

    def release(
        self, hold: HotHold, reason: ReleaseReason, now: Instant, status: int = 0, leader: HotHold | None = None
    ) -> None:
        """The hold's end without a charge, only for what law 5 allows: nothing was sent, or the provider answered an error.

        `leader` is the hold of the call whose answer a coalesced one got.
        """
        allowed = hold.dispatched if reason is ReleaseReason.PROVIDER_ERROR else not hold.dispatched
        assert allowed, f"hold {hold.sequence} cannot be released as {reason}"
        now = self._end(hold, "released", now)
        finish = Finish.UPSTREAM_ERROR if hold.dispatched else Finish.UNKNOWN
        behind = b"" if leader is None else tapes.RELEASE_LEADER.pack(leader.sequence)
        length = tapes.RELEASE.size + len(behind)
        record = tapes.RELEASE.pack(
            RecordType.RELEASE, 0, length, hold.sequence, now, _RELEASES[reason], finish, status
        )
        self.tape.append(record + behind)
        if hold.limited is not None:
            hold.limited.give_back()
        self._return(hold, 0)

    def lapse(self, hold: HotHold, meter: CallMeter, now: Instant, finish: Finish, status: int = 0) -> None:
        """The hold's money goes to suspense: its fate is to be found out, and nothing returns before (law 5)."""
        stored_as = meter.stored_as()
        name = tapes.LAPSE_NAME.pack(self._name_once(stored_as)) if stored_as else b""
        now = self._end(hold, "suspense", now)
        self.tape.append(
            tapes.LAPSE.pack(
                RecordType.LAPSE, 0, tapes.LAPSE.size + len(name), hold.sequence, now, meter.delivered_output_bytes, finish, 0, status,
            )
            + name
        )  # fmt: skip
        if hold.limited is not None:
            hold.limited.suspend()
        for lot, take in zip(hold.lots, hold.takes, strict=True):
            lot.wallet.held_nanos -= take
            lot.wallet.suspense_nanos += take
        if hold.company_nanos:  # whatever the company may have to pay counts against its limit, as in the ledger
            wallet, held = hold.key.wallet, hold.company_nanos if hold.on_overage else 0
            wallet.overage_held_nanos -= held
            wallet.overage_left_nanos += held - hold.company_nanos
            wallet.carried_nanos += hold.company_nanos

    def _end(self, hold: HotHold, state: str, now: Instant) -> Instant:
        assert self.open_holds.pop(hold.sequence, None) is hold, (
            f"hold {hold.sequence} has ended before: it is {hold.state}"
        )
        hold.state = state
        return self._stamp(now)

    def _return(self, hold: HotHold, charge_nanos: int) -> None:
        """The charge consumes the slices in their order (engine/drawing.split); the tail returns to the same lots."""
        lots = hold.lots
        if len(lots) == 1 and lots[0].drawable and lots[0].left_nanos >= 0 and charge_nanos <= hold.takes[0]:
            # nearly every call: one live lot carried it (what _consume does, without its calls)
            lot, take = lots[0], hold.takes[0]
            owner = lot.wallet
            owner.held_nanos -= take
            owner.spent_nanos += charge_nanos
            lot.left_nanos += take - charge_nanos
            owner.available_nanos += take - charge_nanos
            if lot.place < owner.first:  # noqa: PLR1730 - min() costs a call
                owner.first = lot.place
            excess = 0
        else:
            excess = self._consume(hold, charge_nanos)
        wallet = hold.key.wallet
        if excess or hold.on_overage:  # whatever the company carried counts against its limit, as in the ledger
            held = hold.company_nanos if hold.on_overage else 0
            wallet.overage_held_nanos -= held
            wallet.overage_left_nanos += held - excess
            wallet.carried_nanos += excess
            if charge_nanos > hold.bound_nanos:
                self.above_hold.add(hold, charge_nanos)
        if wallet.waiting:
            self._wake(wallet)
        pool = hold.key.pool
        if pool is not None and pool.waiting:
            self._wake(pool)

    def _consume(self, hold: HotHold, charge_nanos: int) -> int:
        """Slices consumed in order and tails returned; what the charge exceeds them by, which is the company's."""
        for lot, take in zip(hold.lots, hold.takes, strict=True):
            owner = lot.wallet
            owner.held_nanos -= take
            used = min(take, charge_nanos)
            charge_nanos -= used
            owner.spent_nanos += used
            if used < take:
                self.give_back(lot, take - used)
        if self._given:
            self._record_given()
        return charge_nanos

    def _record_given(self) -> None:
        """What was given of leased lots goes on the tape: from there the ledger books it (DESIGN §5)."""
        given = self._given
        self._given = []
        now = self._stamp(self.clock())
        for start in range(0, len(given), tapes.GIVES_MAX):
            self.tape.append(tapes.pack_gives(self.last_delta, now, given[start : start + tapes.GIVES_MAX]))

    def lent(self, lent: Lent) -> list[Part]:
        """See SizedLease. A loan that was on its way while a recall came pays what is owed to it, on the tape when this returns."""
        unknown = [] if self.sized is None else self.sized.lent(lent)
        if self._given:
            self._record_given()
        return unknown

    def give_back_asked(self, asked: AskBack) -> list[Part]:
        """What another worker may have of a sized lease goes back, by the instant of records: a clock that was set back keeps nothing."""
        parts = [] if self.sized is None else self.sized.give_back(asked, self._stamp(self.clock()))
        self.returned(parts, asked.number)
        return parts

    def returned(self, parts: list[Part], number: int = 0) -> None:
        """Parts of a sized lease go back, for what was asked under that number: from the tape the ledger has them."""
        for record in return_records(parts, number, self._stamp(self.clock())):
            self.tape.append(record)

    # ---- questions ------------------------------------------------------------------------------------------------

    def available_nanos(self, key: HotKey, now: Instant) -> int:
        """What a key can spend now, own wallet and pool."""
        return self._available(key, now)

    def cycle_ends_at(self, key: HotKey, now: Instant) -> Instant:
        """When the wallet's current pay cycle ends."""
        return cycle_ends_at(key.wallet, now, self.calendars)

    def wallet_view(self, key: HotKey, now: Instant) -> dict[str, Any]:
        """The body of `GET /me/wallet`: amounts as decimal strings."""
        return wallet_view(key, now, self.calendars)

    def told_wallet_view(self, key: HotKey, told: Amounts, now: Instant) -> dict[str, Any]:
        """The same, of amounts that the ledger told."""
        return told_wallet_view(key, told, now, self.calendars)

    def call_view(self, key: HotKey, call_id: str) -> dict[str, Any] | None:
        """The body of `GET /me/calls/{id}` for a call of this key's wallet that this worker remembers, else None.

        `call_id` is ours (`call_…`) or the client's own.
        """
        named = self._memory.by_client(key.id, call_id)
        call: HotHold | SettledCall | None = named if isinstance(named, HotHold) else None
        if call is None:
            try:
                worker, epoch, sequence = hold_key_from_call(call_id)
            except IdentifierError:
                return None
            call = self._memory.by_sequence(sequence)
            if call is None or (worker, epoch) != (self.tape.worker, self.tape.epoch):
                return None
        return remembered_view(call) if call.wallet is key.wallet else None

    # ---- the tape -------------------------------------------------------------------------------------------------

    def _stamp(self, now: Instant) -> Instant:
        """`now`, never before an earlier record: recorded instants are monotone per worker (DESIGN §5)."""
        if now < self._recorded_at:
            return self._recorded_at
        self._recorded_at = now
        return now

    def _name(self, text: str) -> int:
        """The lasting number of a text on this tape."""
        names = self.tape.names
        if text in names or len(names) < NAMES_REMEMBERED_MAX:
            return self.tape.name_id(text)
        return self._name_once(text)

    def _name_client(self, hold: HotHold) -> int:
        """The number of what its client named a call, whose HOLD is the next record but one."""
        if self.sized is not None:
            self.sized.claims.used((hold.key.id, hold.client_call_id))
        return self._name_once(hold.client_call_id)

    def _name_once(self, text: str) -> int:
        """A number for a text that is not remembered here; no number stands for two texts in one epoch.

        0, "none", when all 2,147,483,648 of an epoch are given away: from then on records lack such texts, and calls go on. A
        client's own call id is still refused again for as long as this worker lives.
        """
        number = self._once_names
        if number > _ONCE_NAMES_LAST:
            return 0
        self._once_names = number + 1
        self.tape.append(tapes.pack_name(number, text))
        return number


def _source(meter: CallMeter) -> int:
    return _REPORTED if meter.saw_usage and not meter.degraded else _ESTIMATED
