"""What all endpoints of OpenAI's API share: how a key is sent, how errors and denials are worded, which service tiers there are."""

import json
from typing import Any, Final

from tokenroll.model.instant import Instant
from tokenroll.upstream.dialect import (
    JSON_HEADER,
    Buffers,
    Denial,
    Dialect,
    ErrorAnswer,
    denial_headers,
    pace_sentence,
    retry_headers,
)
from tokenroll.upstream.facts import PROMPT_CACHE_KEY, Facts
from tokenroll.upstream.heads import (
    boolean,
    edited,
    not_bounded,
    object_fields,
    option,
    raw_value,
    refuse,
    refuse_doubled,
    spans,
    text,
)
from tokenroll.upstream.pace import OPENAI_KIND_COUNT, REQUESTS, Pace, openai_lines

_REQUEST_TIERS: Final = {
    "": "", "auto": "", "default": "standard", "standard": "standard", "flex": "flex", "priority": "priority", "fast": "priority",
}  # fmt: skip
ANSWER_TIERS: Final = {
    "default": "standard", "standard": "standard", "flex": "flex", "priority": "priority", "fast": "priority",
    "batch": "batch",
}  # fmt: skip
TIER_WORDS: Final = {"standard": "default", "flex": "flex", "priority": "priority", "batch": "batch"}
_DENIAL_STATUS: Final = {
    "unknown_model": 404, "tier_not_sold": 400, "not_priced": 400, "call_not_bounded": 400, "call_repeated": 409, "no_access": 403, "not_for_model": 403, "too_many_tags": 400,
    "not_ready": 503,
}  # fmt: skip
_DENIAL_PARAM: Final = {
    "unknown_model": "model",
    "not_priced": "model",
    "tier_not_sold": "service_tier",
}
_CODES: Final = {"unknown_model": "model_not_found"}


def tier_asked(value: Any) -> str:
    """A request's service tier in the words of rate cards; empty when the provider decides. Raises RequestRefused."""
    tier = text(value, "service_tier")
    if tier == "batch":  # answers have it, no request does
        refuse(
            "invalid_value",
            "Invalid value: 'batch'. Supported values are: 'auto', 'default', 'flex', and 'priority'. A batch names no service_tier: it is made at /v1/batches.",
            "service_tier",
        )
    if tier not in _REQUEST_TIERS:
        not_bounded("service_tier", f"the service tier {tier!r}")
    return _REQUEST_TIERS[tier]


def read_stream_options(body: bytes, head: dict[str, Any], facts: Facts) -> None:
    """Whether the client asks for usage in its stream. Raises RequestRefused."""
    options = head.get("stream_options")
    if options is not None:
        facts.has_stream_options = True
        given = option(options, "stream_options").include_usage
        refuse_doubled(body, "stream_options", b"include_usage")
        facts.include_usage = boolean(raw_value(given), "stream_options.include_usage")
    elif "stream_options" in head:
        facts.has_stream_options = True


def _with_usage(body: bytes) -> bytes:
    """The client's own stream options and our wish for usage."""
    start, end = spans(body)["stream_options"]
    options = body[start:end]
    fields = () if options == b"null" else tuple(object_fields(options))
    return b"".join(edited(options, {"include_usage": b"true"}, fields)) if fields else b'{"include_usage":true}'


class OpenAIEndpoint(Dialect):
    """A dialect of one endpoint; see Dialect for what each method promises."""

    family = "openai"
    pace_kind_count = OPENAI_KIND_COUNT
    has_tiers = True
    """Whether a request may name a service tier."""

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
        """See Dialect."""
        inject_usage = inject_usage and facts.stream and not facts.include_usage
        values: dict[str, bytes] = {PROMPT_CACHE_KEY: facts.cache_key} if facts.cache_key else {}
        if model != facts.model:
            values["model"] = json.dumps(model).encode()
        if output_cap_tokens:
            values[facts.cap_field] = b"%d" % output_cap_tokens
            if facts.second_cap_field:
                values[facts.second_cap_field] = b"%d" % output_cap_tokens
        if inject_usage:
            values["stream_options"] = _with_usage(body) if facts.has_stream_options else b'{"include_usage":true}'
        if service_tier is not None and self.has_tiers:
            values["service_tier"] = json.dumps(TIER_WORDS[service_tier]).encode()
        if searches is not None:
            values.update(self._with_searches(body, searches))
        return edited(body, values, facts.fields) if values else [body]

    def _with_searches(self, body: bytes, searches: int) -> dict[str, bytes]:  # noqa: ARG002 - only responses search
        """The fields that let it search so often at most, 0: not at all."""
        return {}

    def upstream_headers(self, api_key: str) -> bytes:
        """See Dialect."""
        return b"authorization: Bearer %s\r\n" % api_key.encode("ascii")

    def pace_lines(self, paces: list[Pace], now: Instant) -> bytes:
        """See Dialect."""
        return openai_lines(paces, now)

    def denial(self, denial: Denial, wallet_status: int = 402) -> ErrorAnswer:  # noqa: ARG002 - part of the protocol
        """See Dialect. An empty wallet is a 429 of the `insufficient_quota` family, which clients tell from a rate limit by type."""
        code = denial.code
        status = _DENIAL_STATUS.get(code, 429)
        kind = "insufficient_quota" if status == 429 else _error_type(status)
        if denial.is_pace:  # as a rate limit of the provider's own: clients wait and try again, or ask for less
            kind, code = "tokens" if denial.pace_kind > REQUESTS else "requests", "rate_limit_exceeded"
        elif (
            denial.forbids_model
        ):  # as the provider says it: its clients know the code, and the 403 tells it from no such model
            code = "unknown_model"
        model = denial.model
        sentence = pace_sentence(denial, f"Rate limit reached for {model} in", f"Request too large for {model} in")
        body = _error_body(sentence + denial.sentence(), kind, _CODES.get(code, code), _DENIAL_PARAM.get(code))
        headers = JSON_HEADER + denial_headers(denial, should_retry=status == 503 or denial.retry_after_millis > 0)
        return ErrorAnswer(status, headers + openai_lines(denial.paces, denial.at), body)

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
        """See Dialect."""
        return ErrorAnswer(
            status,
            JSON_HEADER + retry_headers(should_retry, retry_after_seconds * 1000),
            _error_body(message, _error_type(status), code, param),
        )


def _error_type(status: int) -> str:
    return "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"


def _error_body(message: str, kind: str, code: str, param: str | None) -> bytes:
    return json.dumps(
        {"error": {"message": message, "type": kind, "param": param, "code": code}}, ensure_ascii=False
    ).encode()
