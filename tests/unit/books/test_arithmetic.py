from tokenroll.books.arithmetic import attos_text, bound_steps, charge_steps, state_text

BOUND = {
    "input_bytes": 105,
    "message_count": 2,
    "tool_count": 1,
    "output_cap_tokens": 640,
    "output_cap_injected": True,
    "hold_nanos": 22_970_000,
    "overhead_tokens_per_message": 16,
    "overhead_tokens_per_request_with_tools": 512,
    "overhead_tokens_per_tool": 32,
    "input_tokens_max": 681,
    "input_attos_per_token": 10**13,
    "output_attos_per_token": 25 * 10**12,
    "request_attos": 160 * 10**12,
    "computed_nanos": 22_970_000,
    "service_tier": "standard",
}


def test_it_writes_attos_exactly():
    assert [attos_text(one) for one in (0, 1, 10**18, 25 * 10**12, 1_500_000_000_000_000_000)] == [
        "0", "0.000000000000000001", "1", "0.000025", "1.5",
    ]  # fmt: skip


def test_it_tells_how_a_bound_was_made():
    assert [tuple(step) for step in bound_steps(BOUND)] == [
        ("input, at most", "105 bytes + 2 messages × 16 + 512 + 1 tool × 32", "681 model tokens"),
        ("output, at most", "the call's cap (set by the gateway)", "640 model tokens"),
        ("held", "681 × 0.00001 + 640 × 0.000025 + 0.00016, rounded up", "0.022970000 credits"),
    ]


def test_it_tells_when_the_record_alone_gives_another_bound():
    steps = list(bound_steps({**BOUND, "hold_nanos": 30_000_000}))
    assert [(step.name, step.result) for step in steps[2:]] == [
        ("by what its record keeps", "0.022970000 credits"),
        ("held", "0.030000000 credits"),
    ]
    assert "×" not in steps[-1].working  # no arithmetic that comes to something else


def test_it_names_the_tier_whose_rates_a_bound_was_made_at():
    steps = list(bound_steps({**BOUND, "service_tier": "priority"}))
    assert steps[-1].working.endswith("+ 0.00016, rounded up, at the rates of the tier priority")


def test_it_tells_of_a_rate_card_that_is_gone():
    (only,) = bound_steps({"hold_nanos": 5})
    assert (only.working, only.result) == ("its rate card is not in this ledger", "0.000000005 credits")


def test_it_tells_what_a_call_cost_and_when_it_was_rounded():
    attempt = {
        "charge_nanos": 2,
        "usage_source": "estimated",
        "rates": [
            {"meter": "cache_read", "count": 3, "attos_per_unit": 500_000_000, "attos": 1_500_000_000},
            {"meter": "web_search", "count": 1, "attos_per_unit": None, "attos": 0},
        ],
    }
    assert [tuple(step) for step in charge_steps(attempt)] == [
        ("cache read", "3 × 0.0000000005", "0.0000000015"),
        ("web search", "1 × no price", "0"),
        ("final cost", "estimated from what was seen of the answer, rounded half-even", "0.000000002 credits"),
    ]


def test_it_tells_of_a_call_that_was_not_charged():
    (only,) = charge_steps({"charge_nanos": 0, "reason": "provider_error"})
    assert tuple(only) == ("final cost", "provider error", "0.000000000 credits")
    assert list(charge_steps({})) == []


def test_it_says_states_in_peoples_words():
    assert [state_text({"state": one}) for one in ("held", "dispatched", "suspense", "settled", "resolved", "released")] == [
        "in use now", "in use now", "being checked", "settled", "settled after a check", "not charged",
    ]  # fmt: skip
