"""Cost and usage tables in FOCUS (1.2, and the model columns proposed for 1.5) as usage events: the invoice's side of cloud models.

A row is one charge: its consumed quantity counts for the meter that its price details name (`x_ModelId`, `x_TokenDirection`,
`x_CacheAction`). Billed, list and contracted cost are billed, list and net. Purchases, taxes and credits are no usage, and charges of
other services are none of models.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.figures import decimal_of, instant_of_text, name_of, nanos_of
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.parquet_tables import any_table_of
from tokenroll.services.importers.tables import separator_of
from tokenroll.services.list_prices import ListPrices

SOURCE: Final = "focus"
_NEEDED: Final = frozenset({"BilledCost", "ChargePeriodStart", "ServiceName"})
_MODEL_SERVICES: Final = frozenset({"", "AI and Machine Learning"})
_UNIT: Final = re.compile(
    r"(?P<many>[\d,.]*)\s*(?P<scale>k|m|million|thousand)?\s*(?P<what>tokens?|requests?)", re.IGNORECASE
)
_SCALES: Final = {"": 1, "k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000}
_PERSON_TAGS: Final = ("member", "user", "email", "owner")
_TAGS: Final[dict[str, tuple[str, ...]]] = {
    "department": ("department", "team"), "cost_centre": ("cost_centre", "cost_center", "CostCenter"), "project": ("project",),
    "purpose": ("purpose",),
}  # fmt: skip
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def is_focus(head: bytes) -> bool:
    """Whether a file's first bytes are the header of such a table."""
    first = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].decode("utf-8", "replace")
    return is_focus_header(cell.strip().strip('"') for cell in first.split(separator_of(first)))


def is_focus_header(names: Iterable[str]) -> bool:
    """Whether columns of these names make such a table."""
    return set(names) >= _NEEDED


def focus_events(path: Path, member: str, _prices: ListPrices, intake: Intake) -> Iterator[UsageEvent]:
    """The charges for models in one table. The table says what they cost at list, so no other price is asked."""
    table = any_table_of(path, member, intake)
    places = {name: place for place, name in enumerate(table.header)}
    for line, cells in table.rows:
        row = _Charge(places, cells)
        if row.text("ChargeCategory") not in {"", "Usage"}:
            intake.is_other("charges that are no usage")
        elif row.text("ServiceCategory") not in _MODEL_SERVICES:
            intake.is_other("charges of other services")
        else:
            try:
                yield row.event(table.name(line), member)
            except (ValueError, OverflowError) as error:
                intake.is_bad(str(path), line, str(error))


class _Charge:
    """A row by its columns' names."""

    def __init__(self, places: dict[str, int], cells: Sequence[str]) -> None:
        self._places = places
        self._cells = cells

    def text(self, name: str) -> str:
        """A cell, empty where it is null or its column is not there."""
        place = self._places.get(name)
        told = "" if place is None else self._cells[place].strip()
        return "" if told in {"NULL", "null"} else told

    def event(self, ident: str, member: str) -> UsageEvent:
        details, tags = _object(self.text("SkuPriceDetails")), _object(self.text("Tags"))
        at = instant_of_text(self.text("ChargePeriodStart"), UTC)
        until = self.text("ChargePeriodEnd")
        model = (
            _first(details, "x_ModelId", "ModelId")
            or self.text("x_ModelId")
            or self.text("SkuMeter")
            or self.text("SkuId")
        )
        found = {name: _first(tags, *words) for name, words in _TAGS.items()}
        return UsageEvent(
            source=SOURCE,
            event_id=ident,
            admitted_at=at,
            ended_at=instant_of_text(until, UTC) if until else None,
            provider=name_of(self.text("ServiceProviderName") or self.text("ProviderName")).lower(),
            requested_model=name_of(model),
            answered_model=name_of(model),
            usage=self._used(details),
            currency=self.text("BillingCurrency") or "USD",
            billed_cost_nanos=self._nanos("BilledCost"),
            list_cost_nanos=self._nanos("ListCost"),
            net_cost_nanos=self._nanos("ContractedCost"),
            member=_first(tags, *_PERSON_TAGS) or member,
            department=found["department"],
            cost_centre=found["cost_centre"],
            project=found["project"] or name_of(self.text("SubAccountName") or self.text("SubAccountId")),
            purpose=found["purpose"],
            deployment=name_of(self.text("ResourceId")),
        )

    def _nanos(self, name: str) -> int | None:
        told = self.text(name)
        return nanos_of(decimal_of(told)) if told else None

    def _used(self, details: dict[str, Any]) -> Usage:
        quantity, unit = self.text("ConsumedQuantity"), self.text("ConsumedUnit")
        told = _UNIT.fullmatch(unit)
        if not quantity or told is None:
            return Usage()
        many = Decimal((told["many"] or "1").replace(",", "")) * _SCALES[(told["scale"] or "").lower()]
        count = decimal_of(quantity) * many
        if not count.is_finite() or count < 0 or count != count.to_integral_value():
            raise ValueError(f"{quantity[:40]!r} {unit[:40]} is no count, which is a whole number of at least 0")
        if told["what"].lower().startswith("request"):
            return Usage(request_count=int(count))
        name = _meter_name(
            _first(details, "x_TokenDirection", "TokenDirection"), _first(details, "x_CacheAction", "CacheAction")
        )
        return Usage(**{name: int(count)}) if name else Usage()


def _meter_name(direction: str, cache: str) -> str:
    """The field of usage that a direction and a cache's action name; empty where they name none."""
    if cache == "Read":
        return "cache_read_tokens"
    if cache == "Write":
        return "cache_write_5m_tokens"
    return {"Input": "input_tokens", "Output": "output_tokens"}.get(direction, "")


def _object(text: str) -> dict[str, Any]:
    return _OBJECT.decode(text) if text else {}


def _first(told: dict[str, Any], *names: str) -> str:
    return next((name_of(str(told[name])) for name in names if told.get(name)), "")
