"""A call's arithmetic in words: how its bound was made, what its usage cost, where the money went. The same for pages and CLI."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from tokenroll.books import words
from tokenroll.model.amount import ATTOS_PER_NANO, text_from_nanos

ATTOS_DECIMALS: Final = 18


class Step(NamedTuple):
    """One line of arithmetic: what it is, how it is worked out, what it comes to."""

    name: str
    working: str
    result: str


def attos_text(attos: int) -> str:
    """Credits with up to 18 decimals, exactly."""
    whole, rest = divmod(attos, 10**ATTOS_DECIMALS)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")


def bound_steps(bound: Mapping[str, Any]) -> Iterator[Step]:
    """How the hold was bounded: every byte a token, every overhead, the whole output cap, each at the dearest rate, rounded up.

    A record keeps less of a call than its bound was made of; then both figures are told, and neither is said to be the other.
    """
    hold = f"{text_from_nanos(bound['hold_nanos'])} credits"
    if "computed_nanos" not in bound:
        yield Step("held", "its rate card is not in this ledger", hold)
        return
    tools = ""
    if bound["tool_count"]:
        tools = f" + {bound['overhead_tokens_per_request_with_tools']} + {_counted(bound['tool_count'], 'tool')} × {bound['overhead_tokens_per_tool']}"
    yield Step(
        "input, at most",
        f"{bound['input_bytes']} bytes + {_counted(bound['message_count'], 'message')} × {bound['overhead_tokens_per_message']}{tools}",
        f"{bound['input_tokens_max']} model tokens",
    )
    injected = " (set by the gateway)" if bound["output_cap_injected"] else ""
    yield Step("output, at most", f"the call's cap{injected}", f"{bound['output_cap_tokens']} model tokens")
    parts = [
        f"{bound['input_tokens_max']} × {attos_text(bound['input_attos_per_token'])}",
        f"{bound['output_cap_tokens']} × {attos_text(bound['output_attos_per_token'])}",
    ]
    if bound["request_attos"]:
        parts.append(attos_text(bound["request_attos"]))
    working = f"{' + '.join(parts)}, rounded up"
    if bound["service_tier"] != "standard":
        working += f", at the rates of the tier {bound['service_tier']}"
    if bound["computed_nanos"] == bound["hold_nanos"]:
        yield Step("held", working, hold)
        return
    yield Step("by what its record keeps", working, f"{text_from_nanos(bound['computed_nanos'])} credits")
    yield Step("held", "with what its record does not keep: choices, pictures, files, sound, searches, batches", hold)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def charge_steps(attempt: Mapping[str, Any]) -> Iterator[Step]:
    """What was used times what it costs, rounded once."""
    for rate in attempt.get("rates", ()):
        per_unit = rate["attos_per_unit"]
        working = f"{rate['count']} × {'no price' if per_unit is None else attos_text(per_unit)}"
        of_pass = f"pass {rate['pass']}, {rate['model']}: " if "pass" in rate else ""
        yield Step(of_pass + words.meter_name(rate["meter"], rate["count"]), working, attos_text(rate["attos"]))
    if "charge_nanos" in attempt:
        exact = sum(rate["attos"] for rate in attempt.get("rates", ()))
        rounding = ", rounded half-even" if exact % ATTOS_PER_NANO else ""
        source = words.USAGE_SOURCES.get(
            str(attempt.get("usage_source", "")), attempt.get("reason", "").replace("_", " ")
        )
        yield Step(words.FINAL_COST, f"{source}{rounding}", f"{text_from_nanos(attempt['charge_nanos'])} credits")


def state_text(attempt: Mapping[str, Any]) -> str:
    """What people read of an attempt's state."""
    return {
        "held": words.IN_USE,
        "dispatched": words.IN_USE,
        "suspense": words.BEING_CHECKED,
        "settled": "settled",
        "resolved": "settled after a check",
        "released": "not charged",
    }[attempt["state"]]
