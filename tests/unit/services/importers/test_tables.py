"""Tables become usage events by the names of their columns: known exports, mappings, and what is refused in words.

Prices worked with, in nanos a token: gpt-4o-mini 150 in, 75 read, 600 out; claude-sonnet-4-5 3,000 in, 15,000 out.
"""

import gzip
import random
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import Billing
from tokenroll.services.importers.columns import (
    ColumnMap,
    column_events,
    column_map_from_toml,
    guessed_map,
    is_table,
)
from tokenroll.services.importers.focus_rows import focus_events, is_focus
from tokenroll.services.importers.intake import Intake, SourceError

EIGHT = 1_770_105_600_000_000
"""2026-02-03T08:00:00Z."""
MIDNIGHT = EIGHT - 8 * 3_600_000_000


def read(path, prices, intake=None, **how):
    return list(column_events(path, "Cleo", prices, intake or Intake(), **how))


def test_a_plain_table_needs_no_mapping(saved, prices):
    path = saved(
        "usage.csv", "Timestamp,User,Model,Input Tokens,Output Tokens", "2026-02-03T09:00:00+01:00,Ada,gpt-4o-mini,1000,50",
        "2026-02-03 08:00:00Z,,gpt-4o-mini,,7",
    )  # fmt: skip
    ada, cleo = read(path, prices)
    assert (ada.admitted_at, ada.member, ada.model, ada.usage) == (
        EIGHT, "Ada", "gpt-4o-mini", Usage(input_tokens=1_000, output_tokens=50),
    )  # fmt: skip
    assert ada.list_cost_nanos == 1_000 * 150 + 50 * 600
    assert (cleo.member, cleo.usage) == ("Cleo", Usage(output_tokens=7)), "an empty cell is nobody's word, not zero"
    assert ada.billed_cost_nanos is None


def test_a_spreadsheets_habits_are_read(saved, prices):
    path = saved(
        "usage.csv",
        "\ufefftime;model;cost;input_tokens;output_tokens;project",
        '2026-02-03T08:00:00Z;gpt-4o-mini;"$ 1.25";10.0;2;"At\nlas"',
    )
    (event,) = read(path, prices)
    assert (event.billed_cost_nanos, event.usage.input_tokens, event.project) == (1_250_000_000, 10, "At las")


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ('2026-02-03T08:00:00Z,10,2,"0,25"', "'0,25' has a comma, which is a decimal point to some"),
        ('2026-02-03T08:00:00Z,"1,000",2,1', "'1,000' has a comma"),
        ("2026-02-03T08:00:00,10,2,1", "has no time zone, and none is named for this file"),
        ("yesterday,10,2,1", "its time is none such as 2026-02-03T08:00:00Z"),
        ("2026-02-03T08:00:00Z,-1,2,1", "'-1' is no count"),
        ("2026-02-03T08:00:00Z,1.5,2,1", "'1.5' is no count"),
        ("2026-02-03T08:00:00Z,many,2,1", "'many' is no number"),
        ("2026-02-03T08:00:00Z,10,2,NaN", "NaN is no amount of money"),
        ("2026-02-03T08:00:00Z,10,2,1e99", "1E+99 is no amount of money"),
        ("2026-02-03T08:00:00Z,10,2", "3 columns where the header has 4"),
        ("9999-12-31T23:59:59-10:00,10,2,1", "admitted_at must be an instant"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_and_the_good_ones_count(cells, reason, saved, prices):
    intake = Intake()
    path = saved("usage.csv", "time,input_tokens,output_tokens,cost", cells, "2026-02-03T08:00:00Z,10,2,1")
    assert len(read(path, prices, intake)) == 1
    assert [(bad.file, bad.line) for bad in intake.bad_rows] == [(str(path), 2)]
    assert reason in intake.bad_rows[0].reason
    assert intake.row_count == 2


KNOWN = {
    "litellm": (
        "request_id,api_key,spend,prompt_tokens,completion_tokens,startTime,endTime,model,custom_llm_provider,user,team_id,status",
        "r1,8b3f,0.0000000015,1000,50,2026-02-03 08:00:00,2026-02-03 08:00:02,gpt-4o-mini,openai,ada,research,failure",
        {"source": "litellm", "event_id": "r1", "member": "ada", "department": "research", "net_cost_nanos": 2, "status": "failed",
         "list_cost_nanos": 180_000, "billed_cost_nanos": None},
    ),
    "openai usage": (
        "start_time,end_time,start_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,input_tokens,output_tokens,input_cached_tokens",
        "1770105600,1770192000,x,proj_1,3,user_ada,key_1,gpt-4o-mini,,1000,50,400",
        {"source": "openai-usage", "member": "user_ada", "list_cost_nanos": 600 * 150 + 400 * 75 + 50 * 600,
         "usage": Usage(input_tokens=600, cache_read_tokens=400, output_tokens=50, request_count=3)},
    ),
    "openai costs": (
        ("start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,user_id,api_key_id,"
        "project_id,organization_id,project_name,organization_name,user_email,api_source"),
        "1770105600,1770192000,x,y,1.25,usd,3,tokens,gpt-4o-mini,u,k,proj_1,org,Atlas,Acme,ada@acme.example,",
        {"source": "openai-costs", "billed_cost_nanos": 1_250_000_000, "list_cost_nanos": None, "currency": "USD", "usage": Usage(),
         "member": "ada@acme.example", "project": "Atlas"},
    ),
    "anthropic usage": (
        ("usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
        "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,"
        "web_search_count,inference_geo,speed"),
        "2026-02-03,claude-sonnet-4-5,bo-key,Sales,standard,≤ 200k,1000000,1,2,3,10,0,global,",
        {"source": "anthropic-usage", "admitted_at": MIDNIGHT, "project": "Sales", "key": "bo-key",
         "list_cost_nanos": 1_000_000 * 3_000 + 3_750 + 2 * 6_000 + 3 * 300 + 10 * 15_000},
    ),
    "anthropic usage of long contexts": (
        "usage_date_utc,model_version,context_window,usage_input_tokens_no_cache,usage_input_tokens_cache_write,usage_output_tokens",
        "2026-02-03,claude-sonnet-4-5,> 200k,1000,7,0",
        {"usage": Usage(input_tokens=1_000, cache_write_5m_tokens=7, output_tokens=0), "list_cost_nanos": 1_000 * 6_000 + 7 * 7_500},
    ),
    "anthropic costs": (
        "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed",
        "2026-02-03,Claude Sonnet 4.5,Sales,bo-key,message,≤ 200k,input_no_cache,1.234567891,1.5,token,global,",
        {"source": "anthropic-costs", "billed_cost_nanos": 1_234_567_891, "purpose": "input_no_cache", "list_cost_nanos": 1_500_000_000,
         "service_tier": "standard"},
    ),
    "deepseek costs": (
        "user_id,start_time_iso,end_time_iso,model,wallet_type,cost,currency",
        "u1,2026-02-03T08:00:00Z,2026-02-03T09:00:00Z,deepseek-chat,paid,0.5,cny",
        {"billed_cost_nanos": 500_000_000, "currency": "CNY", "admitted_at": EIGHT, "member": "u1"},
    ),
    "azure": (
        "TIMESTAMP,ContextTokens,GeneratedTokens",
        "2026-02-03 08:00:00.1234567,4808,10",
        {"source": "azure-trace", "admitted_at": EIGHT + 123_456, "billing": Billing.OWNED, "usage": Usage(input_tokens=4_808, output_tokens=10)},
    ),
    "burstgpt": (
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type",
        "45,s1,2.5,GPT-4,0,0,0,Conversation log",
        {"source": "burstgpt", "admitted_at": 45_000_000, "session": "s1", "status": "failed", "model": "GPT-4", "purpose": "Conversation log"},
    ),
    "servegen": (
        "category,model,client,t_s,requests,cv,in_mean,in_p99,out_mean,out_p99",
        "language,m-mid,7,600,45,2.2,322.9,1456,30.8,162",
        {"source": "servegen", "member": "m-mid/7", "admitted_at": 600_000_000,
         "usage": Usage(request_count=45, input_tokens=14_530, output_tokens=1_386)},
    ),
    "openrouter": (
        "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,model_permaslug,provider_name,api_key_name",
        "gen-1,2026-02-03T08:00:00Z,0.5,1000,50,20,openai/gpt-4o-mini,OpenAI,ada",
        {"event_id": "gen-1", "billed_cost_nanos": 500_000_000, "usage": Usage(input_tokens=1_000, output_tokens=50, reasoning_tokens=20)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_an_export_is_known_by_its_header(name, saved, prices):
    header, row, told = KNOWN[name]
    path = saved("export.csv", header, row)
    assert is_table(path.read_bytes())
    (event,) = read(path, prices)
    assert {one: getattr(event, one) for one in told} == told


def test_a_day_without_charges_is_no_usage(saved, prices):
    intake = Intake()
    path = saved(
        "costs.csv",
        "start_time,end_time,amount_value,line_item",
        "1770105600,1770192000,,",
        "1770105600,1770192000,1,x",
    )
    assert len(read(path, prices, intake)) == 1
    assert intake.other == {"rows without usage": 1}


def test_an_amount_may_be_of_anything_so_it_is_no_cost_by_itself():
    header = "user_id,start_time_iso,end_time_iso,model,api_key_name,api_key,type,price,amount"
    assert guessed_map(header.split(",")) is None


def test_a_mapping_says_what_columns_mean(saved, prices):
    chosen = column_map_from_toml(
        'source = "our-proxy"\nprovider = "openai"\nbilling = "owned"\nzone = "Europe/Berlin"\ncost_unit = 100\ncurrency = "EUR"\n'
        'input_includes_cached = true\noutput_includes_reasoning = true\n[columns]\ntime = "Wann"\nmember = "Wer"\nmodel = "Name"\n'
        'input_tokens = "rein"\ncache_read_tokens = "gelesen"\noutput_tokens = "raus"\nreasoning_tokens = "gedacht"\nnet_cost = "Cent"\n'
    )
    path = saved(
        "nutzung.csv",
        "Wer,Wann,Name,rein,gelesen,raus,gedacht,Cent",
        "Dev,2026-02-03 09:00:00,gpt-4o-mini,1000,400,50,20,12.5",
    )
    (event,) = read(path, prices, column_map=chosen)
    assert event.usage == Usage(input_tokens=600, cache_read_tokens=400, output_tokens=30, reasoning_tokens=20)
    assert (event.source, event.admitted_at, event.net_cost_nanos, event.currency) == (
        "our-proxy",
        EIGHT,
        125_000_000,
        "EUR",
    )
    assert (event.billing, event.member, event.list_cost_nanos) == (Billing.OWNED, "Dev", 150_000)
    assert chosen.zone == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sauce = 1", "sauce: there is no such key; known are columns, source"),
        ('source = "x"', "[columns] is missing"),
        ("[columns]\nwhen = 'x'", "columns.when: there is no such field; known are time"),
        ("[columns]\ntime = 'x'", "columns: none says what was used or what it cost"),
        ("[columns]\ninput_tokens = 'x'", "columns.time is missing"),
        ("[columns]\ntime = 7", "columns.time is 7; allowed is the name of a column"),
        ("columns = 7", "columns is 7; allowed is a table"),
        ("time_unit = 'hours'\n[columns]\ntime='t'", "time_unit is 'hours'; allowed is one of rfc3339, seconds"),
        ("zone = 'Mars/Base'\n[columns]\ntime='t'", "zone is 'Mars/Base'; allowed is a zone such as Europe/Berlin"),
        ("billing = 'gift'\n[columns]\ntime='t'", "billing is 'gift'; allowed is one of metered, seat, owned"),
        ("cost_unit = 0\n[columns]\ntime='t'\nbilled_cost='c'", "cost_unit is 0; allowed is 1"),
        ("cost_unit = 1.5\n[columns]\ntime='t'", "cost_unit is 1.5; allowed is a whole number"),
        ("zero_is_failed = 1\n[columns]\ntime='t'", "zero_is_failed is 1; allowed is true or false"),
        ("starts_at = 2026-02-03T08:00:00\n[columns]\ntime='t'", "allowed is a time with a zone"),
        ("source = ''\n[columns]\ntime='t'", "source must be 1 to 200"),
        ("[columns]\ntime='t'\ninput_mean_tokens='m'", "columns.request_count is missing"),
        ("[columns", "the mapping is no TOML"),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_be_followed_is_refused_in_words(text, reason):
    with pytest.raises(ValueError, match=r"^.+$") as refused:
        column_map_from_toml(text)
    assert reason in str(refused.value)


def test_a_table_that_says_nothing_is_refused_in_words(saved, prices):
    path = saved("people.csv", "name,age", "Ada,36")
    assert guessed_map(["name", "age"]) is None
    with pytest.raises(SourceError, match=r"its columns \(name, age\) do not say which of them is the time"):
        read(path, prices)
    with pytest.raises(SourceError, match=r"has no column 'When' \(time\); its columns are name, age"):
        read(path, prices, column_map=ColumnMap(columns={"time": "When", "input_tokens": "age"}, zone=UTC))


def test_utf_16_is_refused_in_words(tmp_path, prices):
    path = tmp_path / "export.csv"
    path.write_bytes("time,cost\n2026-02-03,1\n".encode("utf-16"))
    with pytest.raises(SourceError, match=r"export\.csv cannot be read: it is UTF-16; save it as CSV in UTF-8"):
        read(path, prices)


def test_an_id_that_comes_again_is_a_repeat_and_an_equal_row_without_one_is_not(saved, prices):
    intake = Intake()
    header = "request_id,time,input_tokens,output_tokens"
    rows = ["r1,2026-02-03T08:00:00Z,1,2", "r2,2026-02-03T08:00:00Z,1,2", "r1,2026-02-03T08:00:00Z,1,2"]
    assert [event.event_id for event in read(saved("a.csv", header, *rows), prices, intake)] == ["r1", "r2"]
    assert intake.repeat_count == 1
    rows = [row[3:] for row in rows]
    path = saved("b.csv", header[11:], *rows)
    before = [event.event_id for event in read(path, prices)]
    assert len(set(before)) == 3
    moved = path.rename(path.with_name("moved.csv"))
    moved.write_text(moved.read_text() + "\n2026-02-04T08:00:00Z,1,2\n")
    assert [event.event_id for event in read(moved, prices)][:3] == before, "moved and longer, it is the same table"


def test_a_row_of_many_calls_has_no_long_context(saved, prices):
    """claude-sonnet-4-5 costs 6,000 nanos a token of input above 200,000 in one call, and 3,000 else."""
    head, row = (
        "time,model,provider,input_tokens,output_tokens",
        "2026-02-03T08:00:00Z,claude-sonnet-4-5,anthropic,300000,0",
    )
    columns = 'rows_are_sums = {}\n[columns]\ntime = "time"\nmodel = "model"\nprovider = "provider"\ninput_tokens = "input_tokens"'
    path = saved("sums.csv", head, row)
    costs = [
        event.list_cost_nanos
        for told in ("true", "false")
        for event in read(path, prices, column_map=column_map_from_toml(columns.format(told)))
    ]
    assert costs == [300_000 * 3_000, 300_000 * 6_000]


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "microseconds"])
def test_times_are_numbers_of_any_unit(unit, saved, prices):
    many = {"seconds": "1770105600.0", "milliseconds": "1770105600000", "microseconds": "1770105600000000"}[unit]
    chosen = column_map_from_toml(f'time_unit = "{unit}"\n[columns]\ntime = "t"\noutput_tokens = "n"')
    (event,) = read(saved("t.tsv", "t\tn", f"{many}\t1"), prices, column_map=chosen)
    assert event.admitted_at == EIGHT


FOCUS = "BilledCost,BillingCurrency,ChargeCategory,ChargePeriodEnd,ChargePeriodStart,ConsumedQuantity,ConsumedUnit,ContractedCost,ListCost,ProviderName,ServiceCategory,ServiceName,SkuPriceDetails,SubAccountName,Tags"


def charge(quantity, unit, details, *, category="Usage", service="AI and Machine Learning"):
    return (
        f'0.30,USD,{category},2026-02-04T00:00:00Z,2026-02-03T00:00:00Z,{quantity},{unit},0.36,0.40,OpenAI,{service},API,'
        f'"{details}",atlas,"{{""cost_center"": ""CC-7"", ""member"": ""Ada""}}"'
    )  # fmt: skip


def details(direction, cache="None"):
    return f'{{""x_ModelId"": ""gpt-4o-mini"", ""x_TokenDirection"": ""{direction}"", ""x_CacheAction"": ""{cache}""}}'


def test_focus_rows_are_counts_and_an_invoice(saved, prices):
    intake = Intake()
    path = saved(
        "focus.csv", FOCUS, charge("1000.0", "Tokens", details("Input")), charge("0.4", "1000 Tokens", details("Input", "Read")),
        charge("50", "Tokens", details("Output")), charge("3", "Requests", "{}"), charge("", "", "{}"), charge("1", "Hours", "{}"),
        charge("1", "Tokens", details("Output"), category="Tax"), charge("1", "Tokens", details("Output"), service="Storage"),
        charge("0.5", "Tokens", details("Output")), charge("1", "Tokens", "{"),
    )  # fmt: skip
    assert is_focus(path.read_bytes())
    events = list(focus_events(path, "", prices, intake))
    assert [event.usage for event in events] == [
        Usage(input_tokens=1_000), Usage(cache_read_tokens=400), Usage(output_tokens=50), Usage(request_count=3), Usage(), Usage(),
    ]  # fmt: skip
    first = events[0]
    assert (first.billed_cost_nanos, first.net_cost_nanos, first.list_cost_nanos) == (
        300_000_000,
        360_000_000,
        400_000_000,
    )
    assert (first.model, first.member, first.cost_centre, first.project) == ("gpt-4o-mini", "Ada", "CC-7", "atlas")
    assert intake.other == {"charges that are no usage": 1, "charges of other services": 1}
    assert [bad.line for bad in intake.bad_rows] == [10, 11]
    assert intake.row_count == 10


def test_a_torn_table_gives_what_is_whole(tmp_path, prices):
    words = random.Random(1)
    rows = "".join(f"2026-02-03T08:00:00Z,{number},1,{words.randbytes(300).hex()}\n" for number in range(1_000))
    data = gzip.compress(f"time,input_tokens,output_tokens,project\n{rows}".encode(), 1)
    path = tmp_path / "usage.csv.gz"
    path.write_bytes(data[: len(data) // 2])
    intake = Intake()
    some = read(path, prices, intake)
    assert [event.usage.input_tokens for event in some] == list(range(len(some)))
    assert len(some) > 400
    assert intake.row_count == len(some) + intake.bad_count
    assert intake.bad_count >= 1


def test_an_answer_out_of_litellms_own_cache_costs_nothing_at_list_in_its_table_as_in_its_json(saved, prices):
    header = "request_id,api_key,spend,prompt_tokens,completion_tokens,startTime,model,custom_llm_provider,cache_hit"
    cells = ["8b3f" * 16, "0", "1000", "50", "2026-02-03 08:00:00", "gpt-4o-mini", "openai"]
    lines = [",".join((f"r{number}", *cells, hit)) for number, hit in enumerate(("True", "False", "", "true"))]
    events = read(saved("spend.csv", header, *lines), prices)
    assert [(one.list_cost_nanos, one.tags) for one in events] == [
        (0, ("cache-hit",)), (1_000 * 150 + 50 * 600, ()), (1_000 * 150 + 50 * 600, ()), (0, ("cache-hit",)),
    ]  # fmt: skip
    assert {one.key for one in events} == {"8b3f" * 16}, "LiteLLM's own hash"
