"""What every provider's dialect must be able to do: read a request's head, change as little as policy asks, meter, refuse.

Nothing here does I/O. A dialect never decodes a prompt or an answer into text: it reads the head fields it needs (DESIGN §6, law 10).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final, NamedTuple, TypeAlias

from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import Instant, text_from_instant
from tokenroll.model.limits import TAGS_BYTES_MAX
from tokenroll.model.usage import METER_INDEX, TALK_METER_COUNT, Meter, UsageSource
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.pace import KINDS, REQUESTS, Pace, duration

Buffers: TypeAlias = list[bytes | memoryview]
"""A body in pieces, so that a large one is never copied."""
BYTES_PER_TOKEN_ESTIMATE: Final = 4
"""Only for evidence of attempts whose usage never came: about four bytes of text make a token of today's models."""


class RequestRefused(Exception):  # noqa: N818 - it says what happened; nothing went wrong
    """A request that must not reach the provider: malformed, or nothing bounds its cost. Rendered by `Dialect.error`."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param


class ErrorAnswer(NamedTuple):
    """A whole error answer: `headers` are lines that end in CRLF, without content-length and connection, which the door adds."""

    status: int
    headers: bytes
    body: bytes


WHO_RUNS_IT: Final = "whoever runs the gateway"
"""Who can give what no approver can: another plan, a higher cap; and a top-up, where nobody approves them."""


class Denial:
    """Why a call was not admitted, with everything law 4 says a person must be told."""

    __slots__ = (
        "advice", "approver", "at", "call_id", "code", "cost_nanos", "fitting_cap_tokens", "held_nanos", "left_nanos", "limit", "limit_held",
        "limit_left", "limit_needed", "model", "needed_nanos", "next_at", "next_nanos", "pace_kind", "pace_text", "paces", "retry_after_millis",
        "scope", "state",
    )  # fmt: skip

    def __init__(
        self,
        code: str,
        *,
        scope: str = "",
        needed_nanos: int = 0,
        left_nanos: int = 0,
        held_nanos: int = 0,
        next_at: Instant = 0,
        next_nanos: int = 0,
        approver: str = "",
        model: str = "",
        call_id: str = "",
        state: str = "",
        cost_nanos: int | None = None,
        fitting_cap_tokens: int = 0,
        limit: str = "",
        limit_needed: str = "",
        limit_left: str = "",
        limit_held: str = "",
        retry_after_millis: int = 0,
        pace_kind: int = -1,
        pace_text: str = "",
    ) -> None:
        self.code = code
        """`wallet_empty`, `limit_reached`, `no_access`, `not_for_model`, `too_many_tags`, `unknown_model`, `tier_not_sold`, `not_priced`, `call_not_bounded`, `call_repeated`, `too_many_lots`, `not_ready`."""
        self.scope = scope
        self.needed_nanos = needed_nanos
        self.left_nanos = left_nanos
        self.held_nanos = held_nanos
        self.next_at = next_at
        self.next_nanos = next_nanos
        self.approver = approver
        self.model = model
        self.call_id = call_id
        self.state = state
        self.cost_nanos = cost_nanos
        self.fitting_cap_tokens = fitting_cap_tokens
        """With which output cap the call would fit; 0: with none."""
        self.advice = ""
        """How else it could be asked for, as a sentence of its dialect; empty for nearly every call."""
        self.limit = limit
        """The name of the limit that refuses it."""
        self.limit_needed = limit_needed
        self.limit_left = limit_left
        self.limit_held = limit_held
        """What the call would raise it by, what is left of it, and what of it other calls hold, with their units."""
        self.retry_after_millis = retry_after_millis
        """When trying again may help by itself; 0: not so soon that a client should wait for it."""
        self.pace_kind = pace_kind
        self.pace_text = pace_text
        """What the limit that refuses it counts (pace.KINDS), and how far it is used, in words; -1: none that providers have, too."""
        self.paces: list[Pace] = []
        self.at: Instant = 0
        """How far all limits that count it are used, at this instant."""

    @property
    def is_pace(self) -> bool:
        """Whether the providers call it a rate limit, too: there is room again soon, or their clients must ask for fewer tokens."""
        return self.retry_after_millis > 0 or (self.pace_kind > REQUESTS and not self.next_at)

    @property
    def forbids_model(self) -> bool:
        """Whether the model is there and is not for this caller, by plan or by key; a plan may close a service tier instead."""
        return self.code == "not_for_model" or (self.code == "no_access" and self.state.startswith("the model "))

    def sentence(self) -> str:
        """The denial in words: what was needed, what is left, when more arrives, who can approve."""
        return _SENTENCES[self.code](self)


def _inside(scope: str) -> str:
    """As it stands inside a sentence."""
    return scope[:1].lower() + scope[1:]


def _wallet_empty(denial: Denial) -> str:
    left, needed = text_from_nanos(denial.left_nanos), text_from_nanos(denial.needed_nanos)
    parts = [f"{denial.scope} has {left} credits left, and this call may cost up to {needed}."]
    if denial.fitting_cap_tokens:
        parts.append(f"It would fit with an output cap of {denial.fitting_cap_tokens} tokens.")
    if denial.advice:
        parts.append(denial.advice)
    if denial.held_nanos:
        parts.append(f"{text_from_nanos(denial.held_nanos)} credits are in use by other calls now.")
    if denial.next_at:
        parts.append(
            f"{text_from_nanos(denial.next_nanos)} more credits arrive at {text_from_instant(denial.next_at)}."
        )
    else:
        parts.append("No more credits are scheduled to arrive.")
    parts.append(f"A top-up can be approved by {denial.approver}.")
    return " ".join(parts)


def _limit_reached(denial: Denial) -> str:
    parts = [f"{denial.scope}, and this call may take up to {denial.limit_needed}."]
    if denial.fitting_cap_tokens:
        parts.append(f"It would fit with an output cap of {denial.fitting_cap_tokens} tokens.")
    if denial.advice:
        parts.append(denial.advice)
    if denial.limit_held:
        parts.append(f"{denial.limit_held} are in use by other calls now.")
    if denial.next_at:
        parts.append(f"There is room for it again at {text_from_instant(denial.next_at)}.")
    else:
        parts.append("It is more than the whole cap.")
    parts.append(
        f"How fast calls may come, the plan says; another plan can be approved by {WHO_RUNS_IT}."
        if denial.state == "plan"
        else f"A higher cap can be approved by {WHO_RUNS_IT}."
    )
    return " ".join(parts)


def pace_sentence(denial: Denial, opening: str, opening_too_large: str) -> str:
    """A denial for a rate limit as the provider's own clients know its sentence, before what law 4 adds; nothing for any other."""
    if not (denial.is_pace and denial.pace_text):
        return ""
    if not denial.retry_after_millis:
        return f"{opening_too_large} {denial.pace_text}. "
    again = duration(denial.retry_after_millis * 1000).decode()
    return f"{opening} {denial.pace_text}. Please try again in {again}. "


def _call_repeated(denial: Denial) -> str:
    cost = "" if denial.cost_nanos is None else f" It cost {text_from_nanos(denial.cost_nanos)} credits."
    return (
        f"The call id {denial.call_id} was used before and is never sent twice; that call is {denial.state}.{cost} "
        "Use a new id for a new call."
    )


CARD_ELSEWHERE: Final = "has its rate card at"
"""What is said of a model that the other dialect's endpoint prices, by which `tokenroll doctor` tells it from one that nobody prices."""


def _unknown_model(denial: Denial) -> str:
    if denial.state:
        return (
            f"The model {denial.model!r} {CARD_ELSEWHERE} {denial.state} and none at this endpoint, so the call is refused here, "
            f"never free. Call it at {denial.state}."
        )
    return (
        f"The model {denial.model!r} has no rate card at this endpoint, so its cost is unknown and the call is refused, never free. "
        "Anthropic's models are called at /v1/messages, OpenAI's at /v1/chat/completions. If this is the right one, whoever runs "
        "the gateway can add the model with `tokenroll ratecard import`, or, where no published list has it, with "
        "`tokenroll ratecard set --file CARD.json`."
    )


def _not_priced(denial: Denial) -> str:
    parts = [f"The rate card of {denial.model!r} has no price for {denial.state}, so the call is refused, never free."]
    if denial.advice:
        parts.append(denial.advice)
    how = f"--model {denial.model} --output CREDITS" if denial.state == "output" else "--file CARD.json"
    parts.append(
        f"If it is to be called here, whoever runs the gateway can price that: `tokenroll ratecard set {how}`."
    )
    return " ".join(parts)


_SENTENCES: Final[dict[str, Callable[[Denial], str]]] = {
    "wallet_empty": _wallet_empty,
    "limit_reached": _limit_reached,
    "unknown_model": _unknown_model,
    "tier_not_sold": lambda d: (
        f"The model {d.model!r} has no price for batches; send its requests as calls of their own, or ask whoever runs the gateway to add one: "
        "`tokenroll ratecard set --file CARD.json` with a price of the tier `batch`, as docs/concepts/rate_card.md shows."
        if d.state == "batch"
        else f"The model {d.model!r} has no price for the service tier {d.state!r}; leave service_tier out or name one that is sold. "
        "Whoever runs the gateway can add its price: `tokenroll ratecard set --file CARD.json`."
    ),
    "not_priced": _not_priced,
    "no_access": lambda d: f"The plan of this key gives no access to {d.state}. More can be approved by {WHO_RUNS_IT}.",
    "not_for_model": lambda d: (
        f"This key is not for {d.state}. Call one of these, or use another key; whoever made this one can change it with "
        "`tokenroll key change`."
    ),
    "too_many_tags": lambda d: (
        f"The tags of a call have at most {TAGS_BYTES_MAX} characters together, and what this one, its metadata and its key say has {d.state}."
    ),
    "call_not_bounded": lambda d: (
        f"Nothing bounds the cost of this call to {d.model!r}: {d.state}. {d.advice or 'Ask for less output, or for less at once.'}"
    ),
    "call_repeated": _call_repeated,
    "too_many_lots": lambda d: (
        f"{d.scope} would pay this call from more lots than one hold may have; {WHO_RUNS_IT} can merge small lots."
    ),
    "not_ready": lambda d: (
        f"This gateway is cut off from its ledger, and what it was lent of {_inside(d.scope)} does not suffice; try again in a moment."
        if d.state == "cut_off"
        else f"The ledger has not said in time whether {_inside(d.scope)} has more than this gateway was lent; try again in a moment."
        if d.state
        else f"Whether a call with the id {d.call_id} was sent before is not known now, so it is not sent; try again in a moment."
        if d.call_id
        else f"{d.scope} is not known to this gateway yet; try again in a second."
    ),
}


JSON_HEADER: Final = b"content-type: application/json\r\n"


def retry_headers(should_retry: bool | None, retry_after_millis: int = 0) -> bytes:
    """What the providers' own clients read before they try again; None leaves it to their own rules."""
    lines = (
        b"" if should_retry is None else b"x-should-retry: true\r\n" if should_retry else b"x-should-retry: false\r\n"
    )
    if retry_after_millis:
        lines += b"retry-after: %d\r\nretry-after-ms: %d\r\n" % (-(-retry_after_millis // 1000), retry_after_millis)
    return lines


def denial_headers(denial: Denial, *, should_retry: bool) -> bytes:
    """The denial for programs: its code and amounts, and that trying again cannot help (or can)."""
    millis = denial.retry_after_millis or (1000 if should_retry else 0)
    lines = retry_headers(should_retry, millis) + b"x-tokenroll-denied: %s\r\n" % denial.code.encode()
    if denial.limit:
        lines += b"x-tokenroll-limit: %s\r\nx-tokenroll-limit-needed: %s\r\nx-tokenroll-limit-left: %s\r\n" % (
            denial.limit.encode(),
            denial.limit_needed.encode(),
            denial.limit_left.encode(),
        )
        if denial.next_at:
            lines += b"x-tokenroll-limit-turns: %s\r\n" % text_from_instant(denial.next_at).encode()
    if denial.needed_nanos:
        lines += b"x-tokenroll-needed: %s\r\n" % text_from_nanos(denial.needed_nanos).encode()
        lines += b"x-tokenroll-available: %s\r\n" % text_from_nanos(denial.left_nanos).encode()
    return lines


class Pass(NamedTuple):
    """One run of a model inside an answer that took several."""

    model: str
    """As the provider names it; "" when it is the answer's own."""
    is_foreign: bool
    """Whether its kind says that another model than the asked one may have run."""
    counts: list[int | None]
    """In the order of METERS and disjoint, as a meter's."""


class CallMeter(ABC):
    """What one attempt's answer tells about its usage, fed with the answer's bytes as they pass.

    `counts` are in the order of METERS (the first TALK_METER_COUNT of them, or all) and disjoint; None means not reported. One is made per attempt.
    """

    __slots__ = (
        "answered_model", "complete", "counts", "degraded", "delivered_output_bytes", "error_code",
        "output_events", "passes", "provider_request_id", "saw_error", "saw_usage", "service_tier",
    )  # fmt: skip
    output_index: ClassVar[int] = METER_INDEX[Meter.OUTPUT]
    """Which meter counts what `output_tokens_seen` estimates."""

    def __init__(self) -> None:
        self.counts: list[int | None] = [None] * TALK_METER_COUNT
        self.saw_usage = False
        """Whether the provider's final usage was read."""
        self.saw_error = False
        self.error_code = ""
        self.passes: list[Pass] | None = None
        """The runs of models that the counts are the sum of, where each has a price of its own; None for nearly every answer."""
        self.complete = False
        """Whether the answer reached its own end (a whole body, `[DONE]`, `message_stop`)."""
        self.degraded = ""
        """Why reported counts were not believed as they stand; "" when they were."""
        self.service_tier = ""
        """The tier that the answer says was used, in the words of rate cards; "" when it does not say."""
        self.answered_model = ""
        self.provider_request_id = ""
        self.delivered_output_bytes = 0
        self.output_events = 0

    @abstractmethod
    def feed(self, data: bytes) -> bytes:
        """The bytes to pass on for `data`, which are answer bytes without transfer coding; the same object when nothing is withheld."""

    @abstractmethod
    def finish(self) -> bytes:
        """The end of the answer: what was kept back and must still go out. Further calls give nothing."""

    @abstractmethod
    def output_tokens_seen(self) -> int:
        """How many output tokens the bytes that passed show at least, for attempts whose usage never came."""

    def has_begun(self) -> bool:
        """Whether there is something of an answer that may cost, whatever came behind it."""
        return self.output_events > 0

    def stored_as(self) -> str:
        """Under which name the provider keeps this answer and can be asked what became of it; "": under none that is known."""
        return ""

    def goes_on(self) -> bool:
        """Whether the answer is only a receipt, and the work behind it goes on at the provider."""
        return False

    @property
    def source(self) -> UsageSource:
        """REPORTED only when the provider's final word was read and stands."""
        return UsageSource.REPORTED if self.saw_usage and not self.degraded else UsageSource.ESTIMATED


class Dialect(ABC):
    """One endpoint of one provider's way of speaking."""

    index: int
    """On the tape: 0 chat completions, 1 messages, 2 responses, 3 completions, 4 embeddings, 5 moderations, 6 and 7 rerank,
    8 image generations, 9 image edits, 10 speech, 11 transcriptions, 12 translations, 13 message batches, 14 batches,
    15 fine-tuning."""
    family: str
    """Whose way: what a deployment names as its dialect. All endpoints of one share keys, errors and headers."""
    name: str
    path: bytes
    """Where clients call it, and the provider has it."""
    takes_forms: bool = False
    """Whether its requests may be forms: then `read_as` says who reads those of a head."""
    is_kept: bool = False
    """Whether what is asked for lies at the provider and is asked for again: only those that run errands can serve it."""
    pace_kind_count: int = len(KINDS)
    """Of how many of pace.KINDS `pace_lines` tells, from the first on."""
    stores_answers: bool = False
    """Whether the provider keeps an answer for later, unless the request says `"store": false`."""
    reads_file: bool = False
    """Whether a request is bounded by a file that it names, which is read at its provider first (upstream/reading.py)."""
    version_line: bytes = b""
    """The header line that says which version of the dialect is spoken, where it has versions: sent for a client that names none, and when we ask ourselves."""
    asks_for_usage: bool = False
    """Whether a stream reports its usage only to who asks for it in the request."""

    def read_as(self, content_types: list[bytes]) -> "Dialect":  # noqa: ARG002 - for those who take forms
        """Who reads bodies with these content types."""
        return self

    def with_betas(self, betas: bytes) -> "Dialect":  # noqa: ARG002 - for the dialect that has them
        """Who reads bodies for which the head asks for these betas, each after a comma and in small letters."""
        return self

    @abstractmethod
    def facts(self, body: bytes) -> Facts:
        """The head of a request. Raises RequestRefused for what is malformed or cannot be bounded."""

    @abstractmethod
    def rewrite(
        self,
        body: bytes,
        facts: Facts,
        *,
        model: str,
        output_cap_tokens: int,
        inject_usage: bool,
        service_tier: str | None,
        searches: int | None = None,
    ) -> Buffers:
        """The body to send, as buffers: `[body]`, the same object, when nothing changes.

        `model` and `output_cap_tokens` as sent (0: leave the cap alone); `service_tier` in the words of rate cards, None: leave it.
        `searches`: how often it may search at most, 0: not at all, so without the tool; None: as the client says.
        """

    @abstractmethod
    def upstream_headers(self, api_key: str) -> bytes:
        """Header lines, each ending in CRLF, that authenticate us at the provider."""

    @abstractmethod
    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:
        """A meter for one attempt. `withhold_usage`: we asked for usage and the client did not."""

    @abstractmethod
    def pace_lines(self, paces: list[Pace], now: Instant) -> bytes:
        """How far limits are used, in the header lines of this dialect."""

    @abstractmethod
    def denial(self, denial: Denial, wallet_status: int = 402) -> ErrorAnswer:
        """A denial as this dialect's clients read it. `wallet_status` is for spent wallets and limits, where the dialect has a choice."""

    @abstractmethod
    def error(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        should_retry: bool | None = None,
        retry_after_seconds: int = 0,
    ) -> ErrorAnswer:
        """Any other error as this dialect's clients read it."""
