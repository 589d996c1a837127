"""A plan that goes out to a file and comes back in is the same plan, whichever file it was."""

import tomllib
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from tokenroll.books.cells import neutral
from tokenroll.model.checks import name_checked
from tokenroll.model.eligibility import Eligibility
from tokenroll.model.formula import Formula, FormulaKind, LevelAmount
from tokenroll.model.grant import GrantKind
from tokenroll.model.limits import AMOUNT_NANOS_MAX, NAME_CHARACTERS_MAX
from tokenroll.model.plan import Plan
from tokenroll.model.plan_terms import (
    Access,
    Clawback,
    ClawbackBasis,
    Floor,
    ForfeitedBudget,
    LeaveOfAbsence,
    LeavingTerms,
    LeavingWindow,
    PlanTerms,
    Proration,
    Rollover,
    TerminationReason,
    Thrift,
    Wording,
)
from tokenroll.model.tax_facts import CredentialForm, Denomination, TaxFacts, UseScope
from tokenroll.services.plan_fields import FIELDS
from tokenroll.services.plan_files import toml_from_plans
from tokenroll.services.planning import arguments_of, plan_given
from tokenroll.services.vesting_terms import vesting_from_terms

AMOUNTS = st.integers(0, AMOUNT_NANOS_MAX)
NAMES = (
    st.text(
        st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" ;=\"'=+-@#"),
        min_size=1,
        max_size=12,
    )
    .map(str.strip)
    .filter(lambda name: bool(name) and name.isprintable() and len(name) <= NAME_CHARACTERS_MAX)
)
UNIQUE = st.lists(NAMES, max_size=3, unique=True).map(tuple)
DATES = st.dates(date(2000, 1, 1), date(2050, 1, 1))
VESTINGS = st.sampled_from([
    None,
    {"kind": "periodic", "period": "3m", "occurrences": 16, "cliff_occurrences": 4, "unit_nanos": 10**9},
    {"kind": "dated", "shares": [{"on": "2027-07-01", "weight": 1}, {"on": "2028-01-01", "weight": 3}]},
])  # fmt: skip


@st.composite
def formulas(draw):
    kind = draw(st.sampled_from(FormulaKind))
    levels = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)) if kind is FormulaKind.PER_LEVEL else []
    return Formula(
        kind=kind,
        percent_nanos=draw(st.integers(1, 10**12)) if kind is FormulaKind.PERCENT_OF_BASE else 0,
        levels=tuple(LevelAmount(level=level, amount_nanos=draw(AMOUNTS)) for level in levels),
    )


@st.composite
def terms(draw):
    day = draw(st.none() | DATES)
    reasons = draw(st.lists(st.sampled_from(TerminationReason), max_size=3, unique=True))
    return PlanTerms(
        formula=draw(formulas()),
        eligibility=Eligibility(
            departments=draw(UNIQUE), levels=draw(UNIQUE), locations=draw(UNIQUE), employment_types=draw(UNIQUE),
            hired_from=day, hired_until=draw(st.none() | st.just(date(2051, 1, 1))),
        ),
        tax=draw(
            st.builds(
                TaxFacts, use_scope=st.none() | st.sampled_from(UseScope), salary_sacrifice=st.none() | st.booleans(),
                denomination=st.none() | st.sampled_from(Denomination), credential_form=st.none() | st.sampled_from(CredentialForm),
            )
        ),
        proration=draw(st.sampled_from(Proration)),
        rollover=Rollover(max_nanos=draw(AMOUNTS)),
        access=Access(models=draw(UNIQUE), calls_per_minute_max=draw(st.none() | st.integers(1, 10**9))),
        floor=draw(st.none() | st.builds(Floor, model=NAMES, pool=NAMES)),
        thrift=draw(
            st.builds(
                Thrift, cache_marking=st.booleans(), cache_key=st.booleans(), coalesce=st.booleans(),
                break_loops=st.none() | st.integers(3, 100), cap_hints=st.booleans(),
            )
        ),
        leaving=LeavingTerms(
            windows=tuple(LeavingWindow(reason=one, days=draw(st.integers(0, 3660))) for one in reasons),
            forfeited=draw(st.sampled_from(ForfeitedBudget)),
            clawback=draw(st.none() | st.builds(Clawback, basis=st.sampled_from(ClawbackBasis), months=st.integers(1, 60))),
        ),
        leave_of_absence=draw(st.builds(LeaveOfAbsence, pauses_vesting=st.booleans(), pauses_stipend=st.booleans())),
        transferable=draw(st.booleans()),
        wording=draw(st.builds(Wording, title=st.none() | NAMES, why=st.none() | st.just("For what you did."))),
    )  # fmt: skip


@st.composite
def plans(draw):
    """Pay, because a tool may not say all of this."""
    return plan_given(
        {
            "name": draw(NAMES),
            "kind": draw(st.sampled_from(GrantKind)).value,
            "classification": "compensation",
            "amount_nanos": draw(AMOUNTS),
            "vesting": draw(VESTINGS),
            "lifetime": draw(st.sampled_from(["90d", "12m"])),
            "priority": draw(st.integers(0, 255)),
            "overage_nanos_max": draw(AMOUNTS),
        }
        | {"terms": {}},
        id_=1, public_id="plan", version=1, now=0,
    ), draw(terms())  # fmt: skip


def made_again(arguments) -> Plan:
    return plan_given(arguments, id_=1, public_id="plan", version=1, now=0)


def with_terms(bare: Plan, terms_: PlanTerms) -> Plan:
    return Plan(**{name: getattr(bare, name) for name in Plan.__dataclass_fields__} | {"terms": terms_})


@given(plans())
def test_arguments_make_the_same_plan(made):
    plan = with_terms(*made)
    assert made_again(arguments_of(plan)) == plan


@given(plans())
def test_a_toml_file_makes_the_same_plan(made):
    plan = with_terms(*made)
    text = toml_from_plans([arguments_of(plan)])
    ((name, table),) = tomllib.loads(text)["plans"].items()
    again = {"name": name}

    def read(prefix, inner):
        for key, value in inner.items():
            field = FIELDS.get(f"{prefix}{key}")
            if field is None:
                read(f"{prefix}{key}.", value)
            else:
                field.put_into(again, field.kind.read(value))

    read("", table)
    assert made_again(again) == plan


@given(plans())
def test_cells_make_the_same_plan(made):
    plan = with_terms(*made)
    arguments = arguments_of(plan)
    again = {"name": plan.name}
    for field in FIELDS.values():
        value = field.found_in(arguments)
        if value is not None:
            cell = neutral(field.kind.cell(value))
            assert not cell.startswith(("=", "+", "@"))
            field.put_into(again, field.kind.read_cell(cell.removeprefix("'")))
    assert made_again(again) == plan


def test_the_names_of_the_strategy_are_names():
    assert name_checked("a;b=c", "it") == "a;b=c"
    assert vesting_from_terms({"kind": "immediate"}).occurrences == 0
