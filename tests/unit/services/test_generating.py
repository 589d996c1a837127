"""A made-up company's calls have the shapes that were measured, and are the same under a seed."""

import itertools

from tokenroll.services.generating import BLOCK_TOKENS, Company, generate, generated_trace, person_of


def test_it_repeats_itself():
    company = Company(seed=3, calls=500)
    assert list(generate(company)) == list(generate(company)) != list(generate(Company(seed=4, calls=500)))


def test_it_makes_exactly_the_calls_asked_for_in_order():
    for count in (1, 30, 777):
        trace = generated_trace(Company(calls=count))
        calls = list(trace.calls)
        assert len(calls) == trace.rows.call_count == count
        assert all(earlier.at <= later.at for earlier, later in itertools.pairwise(calls))
        assert calls[0].at == 0
        assert [call.line for call in calls] == list(range(1, count + 1))


def test_it_has_the_measured_shapes():
    calls = list(generate(Company(calls=5_000)))
    by_person = dict.fromkeys(range(42), 0)
    seen: set[int] = set()
    repeated = total = 0
    for call in calls:
        by_person[person_of(call.session)] += call.input_tokens
        total += call.input_tokens
        repeated += BLOCK_TOKENS * len(list(itertools.takewhile(seen.__contains__, call.blocks)))
        seen.update(call.blocks)
    shares = sorted(by_person.values())
    gini = sum((2 * rank - 43) * share for rank, share in enumerate(shares, 1)) / (42 * sum(shares))
    assert 0.6 < gini < 0.9  # clients of a large service: 0.65 to 0.87
    assert 0.85 < repeated / total < 0.97  # agents' own calls: 0.928
    assert 25 < total / sum(call.output_tokens for call in calls) < 120  # code: 25 to 73, with large agents above


def test_it_grows_an_agents_context():
    sessions: dict[str, list] = {}
    for call in generate(Company(calls=2_000)):
        sessions.setdefault(call.session, []).append(call)
    agents = [calls for name, calls in sessions.items() if "/agent-" in name and len(calls) > 2]
    assert agents
    for calls in agents:
        for earlier, later in itertools.pairwise(calls):
            assert later.input_tokens > earlier.input_tokens
            assert later.blocks[: len(earlier.blocks)] == earlier.blocks
