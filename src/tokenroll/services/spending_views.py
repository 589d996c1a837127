"""What a worker tells about a wallet and a call: the bodies of `GET /me/wallet` and `GET /me/calls/{id}`."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from tokenroll.engine.calendar import day_start
from tokenroll.engine.cycling import cycle_at
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import Instant, text_from_instant
from tokenroll.model.pay_cycle import PayCalendar
from tokenroll.services.call_memory import SettledCall
from tokenroll.services.hot import NEVER, HotHold, HotKey, HotWallet
from tokenroll.services.hot_limits import HotLimit
from tokenroll.services.protocol import Amounts, WalletAmounts

UNIT = "credits"


def cycle_ends_at(wallet: HotWallet, now: Instant, calendars: Sequence[PayCalendar] = ()) -> Instant:
    """When the wallet's current pay cycle ends, in its own zone; found once per cycle."""
    if now >= wallet.cycle_ends_at:
        zone = ZoneInfo(wallet.zone)
        wallet.cycle_ends_at = day_start(cycle_at(calendars, now, zone).until_on, zone)
    return wallet.cycle_ends_at


def wallet_view(key: HotKey, now: Instant, calendars: Sequence[PayCalendar] = ()) -> dict[str, Any]:
    """The wallet in people's words, and the pool behind it; amounts are decimal strings."""
    view = {"unit": UNIT, "member": key.member_public_id, **_amounts(key.wallet, now)}
    view["cycle_ends_at"] = text_from_instant(cycle_ends_at(key.wallet, now, calendars))
    view["enforcement"] = str(key.wallet.enforcement)
    view["limits"] = [_limit(one) for one in key.limits if _holding(one, now)]
    view["pool"] = None if key.pool is None else _amounts(key.pool, now)
    return view


def told_wallet_view(key: HotKey, told: Amounts, now: Instant, calendars: Sequence[PayCalendar] = ()) -> dict[str, Any]:
    """The same at one of several workers: the amounts are the ledger's, which knows what all of them did."""
    view = wallet_view(key, now, calendars)
    wallets = {one.wallet_id: one for one in told.wallets}
    view |= _told(wallets[key.wallet.id])
    if key.pool is not None:
        view["pool"] |= _told(wallets[key.pool.id])
    limits = {one.limit_id: one for one in told.limits}
    for shown, limit in zip(view["limits"], [one for one in key.limits if _holding(one, now)], strict=True):
        counts = limits.get(limit.id)
        if counts is not None:
            shown |= {"used": limit.rule.text(counts.used), "in_use_now": limit.rule.text(counts.held)}
    return view


def _told(amounts: WalletAmounts) -> dict[str, Any]:
    return {
        "left": text_from_nanos(amounts.left_nanos),
        "in_use_now": text_from_nanos(amounts.in_use_nanos),
        "being_checked": text_from_nanos(amounts.being_checked_nanos),
        "spent": text_from_nanos(amounts.spent_nanos),
        "arrives_next": _dated(amounts.next_vest_at, amounts.next_vest_nanos),
        "expires_next": _dated(amounts.next_expiry_at, amounts.next_expiry_nanos),
    }


def _holding(limit: HotLimit, now: Instant) -> bool:
    if now >= limit.turns_at:
        limit.look(now)
    return limit.holds


def _limit(limit: HotLimit) -> dict[str, Any]:
    rule = limit.rule
    return {
        "name": rule.name,
        "of": limit.scope_text,
        "window": rule.window_text,
        "cap": rule.text(limit.whole_cap),
        "used": rule.text(limit.used),
        "in_use_now": rule.text(limit.held),
        "turns_at": text_from_instant(limit.window.turns_at),
        "enforcement": str(rule.enforcement),
    }


def _amounts(wallet: HotWallet, now: Instant) -> dict[str, Any]:
    if now >= wallet.next_change_at:
        wallet.look(now)
    when, nanos = wallet.next_arrival(now)
    expiring = [lot for lot in wallet.order if lot.expires_at < NEVER and lot.left_nanos > 0]
    soonest = min((lot.expires_at for lot in expiring), default=0)
    expiring_nanos = sum(lot.left_nanos for lot in expiring if lot.expires_at == soonest)
    return {
        "wallet": wallet.public_id,
        "name": wallet.name,
        "left": text_from_nanos(wallet.available_nanos),
        "in_use_now": text_from_nanos(wallet.held_nanos),
        "being_checked": text_from_nanos(wallet.suspense_nanos),
        "spent": text_from_nanos(wallet.spent_nanos),
        "arrives_next": _dated(when, nanos),
        "expires_next": _dated(soonest, expiring_nanos),
    }


def _dated(when: Instant, nanos: int) -> dict[str, str] | None:
    return {"at": text_from_instant(when), "amount": text_from_nanos(nanos)} if when else None


def remembered_view(call: HotHold | SettledCall) -> dict[str, Any]:
    """One call and its attempts, oldest first."""
    return _hold_view(call) if isinstance(call, HotHold) else _settled_view(call)


def _hold_view(hold: HotHold) -> dict[str, Any]:
    attempts = []
    one: HotHold | None = hold
    while one is not None:
        attempts.append(
            {
                "attempt": one.attempt,
                "state": one.state,
                "dispatched": one.dispatched,
                "model": one.upstream_model,
                "hold_max": text_from_nanos(one.bound_nanos),
                "cost": text_from_nanos(one.charge_nanos) if one.state == "settled" else None,
                "rate_card": one.rate_card,
            }
        )
        one = one.later
    would_deny = hold.would_deny or (hold.limited is not None and hold.limited.would_deny)
    return _call(hold.call_id, hold.model, hold.admitted_at, hold.client_call_id, would_deny, attempts)


def _settled_view(call: SettledCall) -> dict[str, Any]:
    attempt = {
        "attempt": 1,
        "state": "settled",
        "dispatched": True,
        "model": call.upstream_model,
        "hold_max": text_from_nanos(call.bound_nanos),
        "cost": text_from_nanos(call.charge_nanos),
        "rate_card": call.rate_card,
    }
    return _call(call.call_id, call.model, call.admitted_at, "", call.would_deny, [attempt])


def _call(
    call_id: str,
    model: str,
    admitted_at: Instant,
    client_call_id: str,
    would_deny: bool,
    attempts: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "id": call_id,
        "unit": UNIT,
        "model": model,
        "admitted_at": text_from_instant(admitted_at),
        "client_call_id": client_call_id or None,
        "would_have_been_denied": would_deny,
        "attempts": attempts,
    }
