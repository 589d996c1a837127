"""What the ledger has told a worker: keys, rate cards, settings, and the wallets it may spend (DESIGN §5)."""

from typing import Final

from tokenroll.engine.calendar_terms import CALENDARS_SETTING, calendars_from_text
from tokenroll.model.api_key import KeyScope
from tokenroll.model.instant import HOUR_MICROS, Instant, text_from_instant
from tokenroll.model.limits import BEARERS_REMEMBERED_MAX
from tokenroll.model.pay_cycle import PayCalendar
from tokenroll.model.recall import RecallMode
from tokenroll.model.tag import merged_tags
from tokenroll.services.cold_terms import ColdKeys, Wallets
from tokenroll.services.fingerprints import Fingerprints
from tokenroll.services.hot import NEVER, HotKey, HotLot, HotWallet, Lessees, Wait, Wake
from tokenroll.services.hot_limits import HotLimits
from tokenroll.services.hot_prices import Prices
from tokenroll.services.keys import KEY_PREFIX, is_well_formed, key_hash
from tokenroll.services.protocol import (
    Delta,
    KeyTerms,
    Lease,
    LotChange,
    ProtocolError,
    RecallTerms,
    View,
    WalletTerms,
)
from tokenroll.services.sized_lease import SizedLease
from tokenroll.upstream.dialect import WHO_RUNS_IT

APPROVER_SETTING: Final = "approver"
"""Who may approve top-ups, one a line, those of a department alone with its name in brackets (services/approvers_told.py)."""
OF_DEPARTMENT: Final = " (for "
ANOTHER_APPROVER: Final = "another approver"
"""What those above the most that are named become, who may be of departments alone."""


class Leases:
    """Keys, prices and wallets of one worker, changed only by the ledger's messages."""

    def __init__(self, pepper: bytes) -> None:
        self.settings: dict[str, str] = {}
        self.calendars: tuple[PayCalendar, ...] = ()
        self.calendars_told = 0
        self.prices = Prices()
        self.limits = HotLimits()
        self.wallets = Wallets()
        self.last_delta = 0
        self.lease_expires_at: Instant = NEVER
        self.sized: SizedLease | None = None
        """What this worker has as one of several; None: it has everything."""
        self._is_whole = False
        """Whether a lease came to its last part: before that nothing was spent here, so what the ledger says last stands."""
        self._pepper = pepper
        self.fingerprints = Fingerprints(pepper)
        self._keys = ColdKeys()
        self._used_hour = 0
        self._used_in: dict[int, int] = {}
        """By key: the hour in which its last use was noted."""
        self._used: list[int] = []
        """Keys whose use is noted and not reported yet."""
        self._bearers: dict[bytes, HotKey] = {}
        self._owed: dict[int, list[list[int]]] = {}
        """By lot: recalls that its later returns pay, oldest first, each with the nanos still owed."""
        self._given: list[tuple[int, int, int]] = []
        """What was given of lots and is not on the tape yet: recall, lot, nanos."""

    # ---- from the ledger ------------------------------------------------------------------------------------------

    def apply_view(self, view: View) -> None:
        """Keys, cards and settings; parts may come in any number."""
        self._apply_keys(view.keys)
        for card in self.prices.read(view.cards):
            self.prices.add(card)
        self._apply_settings(view.settings)
        if view.limits:
            self.limits.restart(view.limits)
            self._bearers.clear()

    def _apply_settings(self, settings: dict[str, str]) -> None:
        self.settings.update(settings)
        if CALENDARS_SETTING in settings:
            self.calendars = calendars_from_text(settings[CALENDARS_SETTING])
            self.calendars_told += 1
            self.limits.set_calendars(self.calendars)
            for wallet in self.wallets.hot.values():
                wallet.cycle_ends_at = 0  # found again when it is asked for

    def apply_lease(self, lease: Lease) -> None:
        """Wallets to spend. One that is leased already keeps its amounts: this worker knows what it holds of them better."""
        if lease.of > 1 and self.sized is None:
            self.sized = SizedLease(*self.limits.life, self.wallets, self.limits, self.give_back)
            self.limits.share()
        if not self._is_whole:
            self.wallets.lessees = Lessees(self.limits.life[0], lease.of, frozenset(lease.workers))
        for terms in lease.wallets:
            if self._is_whole:
                self.wallets.renew(terms)
            else:
                self.wallets.begin(terms)
        self._is_whole = self._is_whole or lease.last
        self.last_delta = max(self.last_delta, lease.delta)
        self.lease_expires_at = lease.expires_at or NEVER
        self._bearers.clear()

    def apply_delta(self, delta: Delta, now: Instant = 0) -> bool:
        """One numbered change, at `now`; a repeated one changes nothing (False).

        Raises ProtocolError for a gap (something was missed, so the worker must say HELLO again) and for a change of what is not
        leased here. Everything is judged before anything is applied, so a delta that raises has changed nothing.
        """
        if delta.number <= self.last_delta:
            return False
        if delta.number != self.last_delta + 1:
            raise ProtocolError(f"expected delta {self.last_delta + 1}, got {delta.number}")
        self._judge_lots(delta)
        try:
            cards = self.prices.read(delta.cards)
        except (ValueError, KeyError, TypeError) as error:
            raise ProtocolError(f"delta {delta.number} holds a rate card that is none: {error}") from error
        for carried in delta.carried:
            if carried.worker == self.wallets.lessees.worker:
                self.wallets.carry(carried.wallet_id, carried.change_nanos)
        for terms in delta.wallets:
            self._apply_wallet(terms)
        for change in delta.lots:
            self._apply_lot(change)
        self._answer(delta.recalls, now)
        for wallet_id, nanos in delta.spent.items():
            if wallet_id in self.wallets:
                self.wallets[wallet_id].spent_nanos += nanos
        self._apply_keys(delta.keys)
        for card in cards:
            self.prices.add(card)
        self._apply_settings(delta.settings)
        self.limits.apply(delta.limits)
        if delta.limits or delta.wallets:
            self._bearers.clear()  # which limits count a key, and which pool is its floor's, was found with the key
        self.limits.change(delta.counters)
        self.last_delta = delta.number
        changed = {change.wallet_id for change in delta.lots} | {terms.id for terms in delta.wallets}
        changed |= {carried.wallet_id for carried in delta.carried}
        for wallet_id in changed:
            if wallet_id in self.wallets.hot:  # nobody waits for the others
                self._wake(self.wallets[wallet_id])
        return True

    def _judge_lots(self, delta: Delta) -> None:
        """Raises ProtocolError when a lot changes that neither was leased here nor comes with the delta.

        One of several workers need not know it: another's call may hold of a lot that was over when this life began.
        """
        coming = {(terms.id, lot.id) for terms in delta.wallets for lot in terms.lots}
        new = {terms.id for terms in delta.wallets}
        for change in delta.lots:
            wallet_id, lot_id = change.wallet_id, change.lot_id
            if wallet_id not in self.wallets and wallet_id not in new:
                raise ProtocolError(f"lot {lot_id} changes in wallet {wallet_id}, which is not leased here")
            if change.terms is not None:
                coming.add((wallet_id, change.terms.id))
            elif (
                self.sized is None and (wallet_id, lot_id) not in coming and not self.wallets.has_lot(wallet_id, lot_id)
            ):
                raise ProtocolError(f"lot {lot_id} changes, which wallet {wallet_id} does not have here")

    def _apply_wallet(self, terms: WalletTerms) -> None:
        if self.wallets.renew(terms):
            self._bearers.clear()

    def _apply_lot(self, change: LotChange) -> None:
        if change.terms is not None:
            self.wallets.add_lot(change.wallet_id, change.terms)
            return
        wallet = self.wallets[change.wallet_id]
        if self.sized is None:  # else it came back to the ledger
            self.give_back(wallet.lots[change.lot_id], change.change_nanos)
        wallet.suspense_nanos -= change.change_nanos + change.spent_nanos
        wallet.spent_nanos += change.spent_nanos

    def _answer(self, recalls: list[RecallTerms], now: Instant) -> None:
        """Gives what is asked back as far as its mode says. Every recall is answered, be it with nothing.

        One of several workers has not all that there is: it gives what it can, and the ledger decides.
        """
        short = {
            one.group_id
            for one in recalls
            if one.mode == RecallMode.WHOLE and self.sized is None and self._free_nanos(one, now) < one.wanted_nanos
        }
        for one in recalls:
            free_nanos = 0 if one.group_id in short else self._free_nanos(one, now)
            given_nanos = min(free_nanos, one.wanted_nanos)
            self._given.append((one.id, one.lot_id, given_nanos))
            wallet = self.wallets.get(one.wallet_id)
            lot = None if wallet is None else wallet.lots.get(one.lot_id)
            if wallet is None or lot is None:
                continue
            wallet.change(lot, -given_nanos)
            if one.mode == RecallMode.OWED and given_nanos < one.wanted_nanos and self._may_return(lot):
                wallet.change(lot, given_nanos - one.wanted_nanos)
                self._owed.setdefault(lot.id, []).append([one.id, one.wanted_nanos - given_nanos])

    def _may_return(self, lot: HotLot) -> bool:
        """Whether calls may return more of a lot here: where others may spend it too, only what was lent here and is held."""
        return self.sized is None or lot.wallet.held_nanos > 0

    def _free_nanos(self, one: RecallTerms, now: Instant) -> int:
        """What the lot has left now; nothing of a lot that is not leased here, nor of an expired one that was to be passed on."""
        wallet = self.wallets.get(one.wallet_id)
        lot = None if wallet is None else wallet.lots.get(one.lot_id)
        if lot is None or (one.mode == RecallMode.WHOLE and lot.expires_at <= now and self.sized is None):
            return 0
        return max(0, lot.left_nanos)

    def give_back(self, lot: HotLot, nanos: int) -> None:
        """`nanos` of a lot are free again, or lent here; what is owed of it to recalls is paid first."""
        owed_nanos = -lot.left_nanos
        lot.wallet.change(lot, nanos)
        if owed_nanos <= 0:
            return
        paid_nanos = min(owed_nanos, nanos)
        owing = self._owed[lot.id]
        while paid_nanos:
            first = owing[0]
            part_nanos = min(first[1], paid_nanos)
            self._given.append((first[0], lot.id, part_nanos))
            first[1] -= part_nanos
            paid_nanos -= part_nanos
            if first[1] == 0:
                owing.pop(0)
        if not owing:
            del self._owed[lot.id]

    def _apply_keys(self, keys: list[KeyTerms]) -> None:
        self._keys.put(keys)
        if keys:
            self._bearers.clear()

    # ---- for the gateway ------------------------------------------------------------------------------------------

    def key_for(self, bearer: bytes, now: Instant) -> HotKey | None:
        """The key behind a bearer token, None when unknown, revoked or expired. Whether it `calls_models`, its scope says."""
        key = self._bearers.get(bearer)
        if key is None:
            key = self._find_key(bearer, now)
            if key is None:
                return None
        return key if now < key.expires_at else None

    def why_no_key(self, bearer: bytes, now: Instant) -> tuple[str, str]:
        """Why `key_for` gives none: a word and a sentence for whoever sent it. What somebody mistyped they can correct by themselves."""
        key = self._bearers.get(bearer) or self._find_key(bearer, now)
        if key is not None:
            return (
                "expired_key",
                f"This key stopped working at {text_from_instant(key.expires_at)}; ask for a new one.",
            )
        text = bearer.decode("latin-1")
        if text.startswith(KEY_PREFIX) and not is_well_formed(text):
            return "mistyped_key", (
                "This key is mistyped: its last characters do not fit the others, so a part of it is missing, doubled or wrong. "
                "Copy it once more."
            )
        return "unknown_key", "This key is not known here, or it was revoked."

    def take_used(self, now: Instant, keys_max: int) -> list[int]:
        """Keys that were used since they were last taken, each once an hour. Their finding is what is noted, so a call pays nothing.

        When an hour begins, the tokens that are remembered are forgotten, and who goes on is found, and noted, again.
        """
        hour = now // HOUR_MICROS
        if hour != self._used_hour:
            self._used_hour = hour
            self._bearers.clear()
        taken, self._used = self._used[:keys_max], self._used[keys_max:]
        return taken

    def _find_key(self, bearer: bytes, now: Instant) -> HotKey | None:
        secret = key_hash(self._pepper, bearer)
        terms = self._keys.find(secret)
        if terms is None:
            return None
        wallet = self.wallets.get(terms.wallet_id) or _no_wallet(terms.member_public_id)
        pool = self.wallets.get(terms.pool_wallet_id)
        key = HotKey(terms.id, terms.public_id, wallet, pool, pool_first=terms.pool_first)
        key.member_public_id = terms.member_public_id
        key.expires_at = min(terms.expires_at or NEVER, dict(terms.former_secrets).get(secret, NEVER))
        key.scope = terms.scope
        key.calls_models = terms.scope == KeyScope.INFERENCE
        key.models = terms.models
        key.tags = merged_tags(terms.tags, wallet.purpose_tag)
        key.limits = self.limits.of_key(terms) + self.limits.of_access(wallet)
        floor = self.wallets.get(wallet.floor_pool_id) if wallet.floor_model else None
        if floor is not None:
            key.floor = HotKey(terms.id, terms.public_id, wallet, floor)
            key.floor.member_public_id = terms.member_public_id
            key.floor.expires_at = key.expires_at
            key.floor.models = key.models
            key.floor.tags = key.tags
            key.floor.limits = key.limits
        hour = now // HOUR_MICROS
        if now < key.expires_at and self._used_in.get(terms.id) != hour:
            self._used_in[terms.id] = hour
            self._used.append(terms.id)
        # raw tokens are remembered because a hash per call costs more than a lookup; they leave with the process
        if len(self._bearers) >= BEARERS_REMEMBERED_MAX:
            self._bearers.clear()
        self._bearers[bearer] = key
        return key

    def model_names(self, now: Instant) -> list[str]:
        """Every model and alias that has a rate card now."""
        return self.prices.names(now)

    def approver_of(self, wallet: str) -> str:
        """Who may approve a top-up of a wallet, as denials say it: whoever the company named, but never its own holder.

        Where that leaves nobody who approves for everybody, it may leave nobody for this wallet: so whoever runs the gateway is named, too.
        """
        told = self.settings.get(APPROVER_SETTING, "").split("\n")
        named = [one for one in told if one and one.partition(OF_DEPARTMENT)[0] != wallet]
        if all(OF_DEPARTMENT in one or one == ANOTHER_APPROVER for one in named):
            named.append(WHO_RUNS_IT)
        return " or ".join(named)

    # ---- waiting for money ----------------------------------------------------------------------------------------

    def wait(self, wait: Wait, wake: Wake) -> None:
        """`wake` is called once, when money or room came back that may suffice; admit again then, but not inside the call."""
        wait.wake = wake
        if self.sized is not None and (wait.asks is not None or wait.client is not None):
            self.sized.wait(wait)
            return
        if wait.limit is not None:
            wait.limit.waiting.append(wait)
        for wallet in wait.wallets:
            wallet.waiting.append(wait)

    def forget(self, wait: Wait) -> None:
        """The call gave up waiting: its time is over, or its client left."""
        wait.wake = None
        if self.sized is not None and (wait.asks is not None or wait.client is not None):
            self.sized.forget(wait)
            return
        if wait.limit is not None and wait in wait.limit.waiting:
            wait.limit.waiting.remove(wait)
        for wallet in wait.wallets:
            if wait in wallet.waiting:
                wallet.waiting.remove(wait)

    def drop_claim(self, client: tuple[int, str]) -> None:
        """A call that waited for its client's call id is over: where nothing was sent under it, it is free again."""
        if self.sized is not None:
            self.sized.claims.drop(client)

    def _wake(self, wallet: HotWallet) -> None:
        """Wakes those in front for whom there is enough now; who waits behind one that still lacks money keeps its turn."""
        waiting = wallet.waiting
        promised = 0
        while waiting:
            wait = waiting[0]
            if wait.wake is None:
                del waiting[0]
                continue
            if wait.needed_nanos + promised > sum(one.available_nanos for one in wait.wallets):
                return
            promised += wait.needed_nanos
            wake = wait.wake
            self.forget(wait)
            wake()


def _no_wallet(name: str) -> HotWallet:
    """What a member without a wallet spends: nothing, and it says so."""
    return HotWallet(WalletTerms(0, "", name, "member", "UTC", [], "enforce", "deny", 1, 0, 0, 0, 0))
