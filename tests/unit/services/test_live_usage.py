"""Counters that only grow: each settlement once, under its day's names, people of small departments not told apart."""

import contextlib
import json

import pytest

from tests.firm import COUNTS, CREDIT, DAY, HOUR, JANUARY, Firm
from tests.postgresql_kit import place_for
from tokenroll.services import live_available, live_usage
from tokenroll.services.live_metrics import otlp_metrics, prometheus_text
from tokenroll.services.live_usage import LiveUsage, NotCountedYetError
from tokenroll.services.reporting import Reports
from tokenroll.store.database import open_reader


@pytest.fixture
def firm():
    return small_firm(Firm())


def small_firm(one):
    """Five people of Engineering, four of Legal and one of Finance. The others of Engineering call, then Bo, then Fay of Finance."""
    one.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    one.do("department.create", name="Finance")
    for name in ("Bo", "Ada", "Cy", "Di", "Ed"):
        one.hire(name)
    one.do("member.create", name="Fay", department="Finance", zone="UTC")
    one.do("department.create", name="Legal")
    for name in ("Gus", "Hal", "Ida", "Jo"):
        one.do("member.create", name=name, department="Legal", zone="UTC")
    for number, name in enumerate(("Bo", "Fay", "Ada", "Cy", "Di", "Ed"), 1):
        one.do("grant.create", to=name, plan="tools")
        one.do(
            "key.create", member=name, name="k", scope="inference", secret_hash=f"{number:064x}", shown_prefix="tr-…"
        )
    one.now = JANUARY + DAY + HOUR
    for number, name in enumerate(("Ada", "Cy", "Di", "Ed"), 3):
        call(one, name, number, 1)
    call(one, "Bo", 1, 3)
    call(one, "Fay", 2, 2_500_000_000)
    one.release(one.hold("Bo", (one.lot_ids("Bo")[0], CREDIT), key=1))
    return one


def call(firm, name, key, nanos):
    firm.settle(firm.hold(name, (firm.lot_ids(name)[0], 2 * max(nanos, CREDIT)), key=key), nanos)


def watching(firm, tmp_path):
    @contextlib.contextmanager
    def questions():
        yield firm.reports

    return LiveUsage(questions, tmp_path / "live_usage.json")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(live_usage, "LIVE_AGE_SECONDS_MAX", 0)


def values(figures):
    """By metric and labels, as an outside reader of Prometheus' text reads them."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(prometheus_text(figures))
        for sample in family.samples
    }


def labelled(name, department, model, provider, **more):
    told = {"department": department, "model": model, "provider": provider, **more}
    return (name, *sorted(told.items()))


def test_prometheus_reads_what_was_spent_and_a_small_departments_models_are_not_told(firm, tmp_path):
    found = values(watching(firm, tmp_path).figures())
    engineering = ("Engineering", "gpt-5-mini", "openai")
    assert found[labelled("tokenroll_burn_credits_total", *engineering)] == 3e-9
    assert found[labelled("tokenroll_burn_list_cost_usd_total", *engineering)] == 3e-9
    assert found[labelled("tokenroll_burn_calls_total", *engineering)] == 1, "what was released is no call"
    assert found[labelled("tokenroll_burn_tokens_total", *engineering, kind="input")] == COUNTS[0]
    assert found[labelled("tokenroll_burn_tokens_total", *engineering, kind="output")] == COUNTS[6]
    assert found[labelled("tokenroll_burn_credits_total", "Finance", "other", "other")] == 2.5
    assert found[labelled("tokenroll_burn_calls_total", "other", "other", "other")] == 1
    assert not [one for one in found if ("department", "Finance") in one and "tokens" in one[0]]
    assert found["tokenroll_burn_data_age_seconds",] == 0
    left = {"Engineering": 500 * CREDIT - 7, "Finance": 100 * CREDIT - 2_500_000_000}
    for name, nanos in left.items():
        assert found["tokenroll_available_credits", ("department", name)] == nanos / CREDIT
    assert "Bo" not in prometheus_text(watching(firm, tmp_path).figures())


def test_a_model_is_told_from_the_fifth_of_its_people_on_and_nobody_is_told_alone(firm, tmp_path):
    """Four of Engineering called before Bo: their amounts are the department's, and their calls and tokens are withheld."""
    live = watching(firm, tmp_path)
    found = values(live.figures())
    others = ("Engineering", "other", "other")
    assert found[labelled("tokenroll_burn_credits_total", *others)] == 4e-9
    assert labelled("tokenroll_burn_calls_total", *others) not in found
    for number, name in enumerate(("Ada", "Cy", "Di", "Ed"), 3):
        call(firm, name, number, 1)
    assert values(live.figures())[labelled("tokenroll_burn_calls_total", "Engineering", "gpt-5-mini", "openai")] == 5
    again = values(watching(firm, tmp_path).figures())
    assert labelled("tokenroll_burn_calls_total", *others) not in again, "who is enough is remembered over a start"


def test_where_all_small_departments_are_few_people_nothing_of_their_work_is_told(firm, tmp_path):
    firm.do("member.change", member="Jo", department="Engineering", on="2026-01-01")
    found = values(watching(firm, tmp_path).figures())
    assert found[labelled("tokenroll_burn_credits_total", "Finance", "other", "other")] == 2.5
    assert not [
        name
        for name in found
        if name[0] in {"tokenroll_burn_calls_total", "tokenroll_burn_tokens_total"} and ("department", "other") in name
    ]


def test_counters_only_grow_whatever_changes_of_a_department(firm, tmp_path):
    live = watching(firm, tmp_path)
    before = values(live.figures())
    firm.do("member.change", member="Bo", department="Finance", on="2026-01-01")
    call(firm, "Bo", 1, 4)
    after = values(live.figures())
    growing = {name: value for name, value in before.items() if name[0].endswith("_total")}
    assert all(after[name] >= value for name, value in growing.items())
    assert sum(value for name, value in after.items() if name[0] == "tokenroll_burn_calls_total") == 3


def test_a_start_goes_on_where_the_last_one_ended_and_a_lost_file_is_counted_again(firm, tmp_path):
    first = watching(firm, tmp_path).figures()
    again = watching(firm, tmp_path)
    assert again.figures()[3:] == first[3:]
    assert (tmp_path / "live_usage.json").stat().st_mode & 0o077 == 0
    (tmp_path / "live_usage.json").write_text('{"version": 1')
    assert watching(firm, tmp_path).figures()[3:] == first[3:]
    other = json.loads((tmp_path / "live_usage.json").read_text())
    (tmp_path / "live_usage.json").write_text(json.dumps(other | {"ledger": "00", "through_seq": 0}))
    assert watching(firm, tmp_path).figures()[3:] == first[3:], "sums of another ledger are none"


def test_a_long_ledger_is_counted_over_several_questions(firm, tmp_path, monkeypatch):
    monkeypatch.setattr(live_usage, "LAKE_SLICE_SETTLEMENTS", 1)
    monkeypatch.setattr(live_usage, "LIVE_READ_SECONDS_MAX", 0)
    monkeypatch.setattr(LiveUsage, "_go_on", lambda _: None)
    live = watching(firm, tmp_path)
    for _ in range(7):
        with pytest.raises(NotCountedYetError, match="of its journal"):
            live.figures()
    assert sum(one.call_count for one in live.figures().work) == 2


def test_a_long_ledger_is_counted_on_while_nobody_asks(tmp_path, monkeypatch):
    monkeypatch.setattr(live_usage, "LAKE_SLICE_SETTLEMENTS", 1)
    monkeypatch.setattr(live_usage, "LIVE_READ_SECONDS_MAX", 0)
    firm = small_firm(Firm(JANUARY, tmp_path / "ledger.db"))
    firm.connection.rollback()
    engine = open_reader(place_for(tmp_path / "ledger.db"))

    @contextlib.contextmanager
    def questions():
        with engine.connect() as connection:
            yield Reports(connection, firm.now)

    live = LiveUsage(questions, tmp_path / "live_usage.json")
    with pytest.raises(NotCountedYetError):
        live.figures()
    assert live._counting is not None
    live._counting.join(20)
    assert sum(one.call_count for one in live.figures().work) == 2
    engine.dispose()
    firm.connection.close()
    firm.connection.engine.dispose()


def test_what_is_available_of_too_many_wallets_is_not_told(firm, tmp_path, monkeypatch):
    monkeypatch.setattr(live_available, "LIVE_WALLETS_MAX", 1)
    assert watching(firm, tmp_path).figures().available == {}


def test_labels_beyond_the_limit_are_one(firm, tmp_path, monkeypatch):
    monkeypatch.setattr(live_usage, "LIVE_SERIES_MAX", 1)
    figures = watching(firm, tmp_path).figures()
    assert [one.labels[0] for one in figures.amounts] == ["Engineering", "other"]
    assert sum(one.charge_nanos for one in figures.amounts) == 2_500_000_007


def test_a_name_cannot_break_out_of_its_label(firm, tmp_path):
    firm.do("department.create", name='R"D\\x')
    figures = watching(firm, tmp_path).figures()
    figures.amounts[0].labels = ('R"D\\x', "a\nb", "openai")
    assert labelled("tokenroll_burn_credits_total", 'R"D\\x', "a\nb", "openai") in values(figures)


def test_opentelemetry_is_told_the_same(firm, tmp_path):
    figures = watching(firm, tmp_path).figures()
    told = json.loads(otlp_metrics(figures, "Acme", "1", JANUARY))
    metrics = {one["name"]: one for one in told["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
    spent = metrics["tokenroll.burn.credits"]["sum"]
    assert (spent["isMonotonic"], spent["aggregationTemporality"]) == (True, 2)
    assert [one["asDouble"] for one in spent["dataPoints"]] == [3e-9, 4e-9, 2.5]
    assert spent["dataPoints"][0]["startTimeUnixNano"] == f"{figures.since_at * 1000}"
    assert metrics["tokenroll.burn.calls"]["sum"]["dataPoints"][0]["asInt"] == "1"
    assert metrics["tokenroll.burn.data_age"]["gauge"]["dataPoints"][0]["asInt"] == "0"
