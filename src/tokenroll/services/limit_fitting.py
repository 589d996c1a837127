"""Fitting: what a call's limits say of it: it fits, or how it is made to fit, waits, goes to a cheaper model or is refused.

It means what `engine/limiting.judge` means; a property test proves it.
"""

from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.model.limits import LIMIT_RETRY_SECONDS_MAX, OUTPUT_CAP_FLOOR_TOKENS
from tokenroll.services.hot import HotHold, Wait
from tokenroll.services.hot_limits import HotLimit, Limited, Reroute, paces_of
from tokenroll.services.limit_rules import CREDITS
from tokenroll.store import tape as tapes
from tokenroll.upstream.dialect import Denial
from tokenroll.upstream.facts import Facts


def fit(
    hold: HotHold, limited: Limited, facts: Facts, available: int, fixed_grains: int, patience_micros: int
) -> Denial | Wait | Reroute | None:
    """The hold made to fit its limits where policy says so, and what each says of it; None: it may be drawn.

    `patience_micros` is how long the call may wait for a pace; 0: not at all. A limit that refuses it for good comes before that.
    """
    wait: Wait | None = None
    may_lower = facts.has_output and facts.is_text and facts.batched is None
    if (limited.clamps or facts.output_cap_tokens == 0) and may_lower:
        _lower(hold, limited, facts, available, fixed_grains)
    output_tokens = hold.choice_count * hold.output_tokens_max
    input_tokens = hold.input_tokens_max
    # in the order of LIMIT_MEASURES
    raises = [hold.bound_nanos, 1, input_tokens + output_tokens, input_tokens, output_tokens]
    for limit in limited.limits:
        amount = raises[limit.measure]
        missing = limit.used + amount - limit.cap
        flags = 0
        if missing > 0 and not limited.asks_for(limit, amount):
            if not limit.enforces:
                flags = tapes.RAISE_WOULD_DENY
                limited.would_deny = True
                if not limit.id:
                    limited.too_fast = hold.would_deny = True  # no counter of the ledger's can say so
                if limit.rule.warns:
                    limited.notes += _warning(limit, amount, limited.left_of(limit))
            elif missing <= limit.overage:
                flags = tapes.RAISE_OVERAGE
                left = limited.left_of(limit)
                limited.notes += _above(limit, missing if left is None else amount - left)
            elif (
                limit.rule.cheaper_model
                and may_lower  # a model that talks embeds and draws nothing, and batches are sent as they are
                and limited.may_reroute
                and limit.rule.cheaper_model != hold.card.card.model
            ):
                return Reroute(limit.rule.cheaper_model, limit.rule.name)
            elif patience_micros and (waits := limit.wait_for(hold, amount, patience_micros)) is not None:
                wait = waits
            else:
                denial = _denial(hold, limited, limit, amount, facts, fixed_grains)
                denial.at = hold.admitted_at
                denial.paces = paces_of(limited.limits, hold.admitted_at)
                return denial
        if flags:
            limited.flags[len(limited.amounts)] = flags
        limited.amounts.append(amount)
    return wait


def _lower(hold: HotHold, limited: Limited, facts: Facts, available: int, fixed_grains: int) -> None:
    """The output cap lowered for its limits, never below the floor, nor at or below a thinking budget.

    One of ours takes a quarter of what is left at most, so that one call does not starve its parallel ones; a client's own becomes
    what fits where a limit clamps.
    """
    cap = hold.output_tokens_max
    ours = facts.output_cap_tokens == 0
    least = max(
        min(OUTPUT_CAP_FLOOR_TOKENS, cap) if ours else OUTPUT_CAP_FLOOR_TOKENS, facts.thinking_budget_tokens + 1
    )
    for limit in limited.limits:
        if not (limit.enforces and limit.rule.counts_output and limit.id):
            continue  # a plan's pace guards the provider: it refuses, and shortens nobody's answer
        room = limited.room(limit)
        if ours:
            cap = min(cap, max(limit.rule.fitting_cap(hold, room // 4, fixed_grains), least))
        elif limit.rule.clamps and limit.rule.amount_of(hold) > room:
            fitting = limit.rule.fitting_cap(hold, room, fixed_grains)
            if least <= fitting < cap:
                cap = fitting
                limited.notes += b"x-tokenroll-limit: %b; clamp\r\n" % limit.rule.name.encode()
    if cap == hold.output_tokens_max:
        return
    rates = hold.rates
    hold.output_tokens_max = cap
    hold.cap_changed = True
    hold.bound_nanos = -(-(fixed_grains + hold.choice_count * cap * rates.output_grains) // rates.grains_per_nano)
    if hold.company_nanos:
        hold.company_nanos = max(0, hold.bound_nanos - available)
        if not hold.company_nanos:
            hold.on_overage = hold.would_deny = False


def _denial(hold: HotHold, limited: Limited, limit: HotLimit, amount: int, facts: Facts, fixed_grains: int) -> Denial:
    """With all that law 4 says a person must be told."""
    rule = limit.rule
    known = limited.left_of(limit)
    next_at = limit.fits_at(amount)
    wait = next_at - hold.admitted_at
    comes_soon = wait > 0 and (rule.is_pace or wait <= LIMIT_RETRY_SECONDS_MAX * MICROS_PER_SECOND)
    room = limit.cap - limit.used if known is None else known
    left = _left_text(limit, known)
    fitting = rule.fitting_cap(hold, room, fixed_grains) if rule.counts_output else 0
    if fitting < max(OUTPUT_CAP_FLOOR_TOKENS, facts.thinking_budget_tokens + 1):
        fitting = 0
    return Denial(
        "limit_reached",
        scope=f"The limit {rule.name} ({limit.scope_text}) has {left} left in {rule.window_text}",
        needed_nanos=amount if limit.measure == CREDITS and known is not None else 0,
        left_nanos=max(0, room) if limit.measure == CREDITS and known is not None else 0,
        next_at=next_at,
        model=hold.model,
        fitting_cap_tokens=fitting,
        limit=rule.name,
        limit_needed=rule.text(amount),
        limit_left=left,
        limit_held=rule.text(limit.held) if limit.held else "",
        state="" if limit.id else "plan",
        retry_after_millis=-(-wait // 1000) if comes_soon else 0,
        pace_kind=rule.pace_kind,
        pace_text=""
        if known is None
        else rule.pace_text(limit.scope_text, limit.whole_cap, limit.whole_cap - known, amount),
    )


def _left_text(limit: HotLimit, known: int | None) -> str:
    """What is left of a limit; of one that several workers share, where that is not known, what is left at most."""
    if known is None:
        return f"at most {limit.rule.text(max(0, limit.whole_cap - limit.used))}"
    return limit.rule.text(max(0, known))


def _warning(limit: HotLimit, amount: int, known: int | None) -> bytes:
    rule = limit.rule
    left = _left_text(limit, known)
    text = (
        f"x-tokenroll-limit: {rule.name}; would-deny\r\nx-tokenroll-warning: the limit {rule.name} has {left} left in "
        f"{rule.window_text} and this call may take up to {rule.text(amount)}; under enforce it would be refused\r\n"
    )
    return text.encode()


def _above(limit: HotLimit, missing: int) -> bytes:
    rule = limit.rule
    text = (
        f"x-tokenroll-limit: {rule.name}; overage\r\nx-tokenroll-warning: the limit {rule.name} may run up to "
        f"{rule.text(missing)} above its cap with this call; its overage is {rule.text(rule.overage)}\r\n"
    )
    return text.encode()
