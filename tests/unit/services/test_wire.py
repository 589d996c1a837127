from tokenroll.services.wire import to_wire


def test_it_gives_money_its_unit_and_times_their_zone():
    found = to_wire(
        {
            "left_nanos": 1_500_000_000,
            "next_vest_nanos": None,
            "list_cost_nanos": 3,
            "effective_at": 0,
            "end_until": 1_767_225_600_000_000,
            "call_count": 2,
            "lots": [{"amount_nanos": -1}],
        }
    )
    assert found == {
        "left": {"amount": "1.500000000", "unit": "credits"},
        "next_vest": None,
        "list_cost": {"amount": "0.000000003", "unit": "USD"},
        "effective_at": "1970-01-01T00:00:00Z",
        "end_until": "2026-01-01T00:00:00Z",
        "call_count": 2,
        "lots": [{"amount": {"amount": "-0.000000001", "unit": "credits"}}],
    }


def test_it_leaves_other_values_alone():
    assert to_wire("text") == "text"
    assert to_wire({"expires_at": None, "share": 0.5}) == {"expires_at": None, "share": 0.5}
