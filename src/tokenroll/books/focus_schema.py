"""The columns of FOCUS 1.2 that a delivery has, what may stand in each, and the schema metadata that goes with it.

FOCUS is the FinOps Foundation's specification of cost and usage data (reference: books, §4.2). Columns that it names come first,
in alphabetical order, our own (`x_`) last, as its column handling asks (ColumnHandling-A-010 to 013).
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from tokenroll.model.amount import ATTOS_PER_CREDIT
from tokenroll.model.instant import Instant, text_from_instant
from tokenroll.model.limits import NAME_CHARACTERS_MAX
from tokenroll.model.usage import Meter

FOCUS_VERSION: Final = "1.2"
PRICE_DECIMALS: Final = len(str(ATTOS_PER_CREDIT)) - 1
COST_DECIMALS: Final = 9
DECIMAL_DIGITS_MAX: Final = 38
"""Digits of a decimal in all, as far as databases count them."""
DESCRIPTION_CHARACTERS_MAX: Final = 3 * NAME_CHARACTERS_MAX


class DataType(StrEnum):
    """What kind of value a column has, in the words of FOCUS' schema metadata."""

    TEXT = "STRING"
    DECIMAL = "DECIMAL"
    INSTANT = "DATETIME"
    KEY_VALUE = "JSON"


class ChargeCategory(StrEnum):
    """What kind of charge a row is (ChargeCategory-C-003)."""

    USAGE = "Usage"
    PURCHASE = "Purchase"
    TAX = "Tax"
    CREDIT = "Credit"
    ADJUSTMENT = "Adjustment"


class Column(NamedTuple):
    """One column: `required` ones are never empty, `decimals` are how many a decimal has at most."""

    name: str
    data_type: DataType
    required: bool = False
    decimals: int = 0
    characters_max: int = NAME_CHARACTERS_MAX


def _text(name: str, *, required: bool = False, characters_max: int = NAME_CHARACTERS_MAX) -> Column:
    return Column(name, DataType.TEXT, required, characters_max=characters_max)


def _decimal(name: str, decimals: int, *, required: bool = False) -> Column:
    return Column(name, DataType.DECIMAL, required, decimals)


def _instant(name: str) -> Column:
    return Column(name, DataType.INSTANT, required=True)


_SKU_CHARACTERS_MAX: Final = 5 * NAME_CHARACTERS_MAX
FOCUS_COLUMNS: Final[tuple[Column, ...]] = (
    _decimal("BilledCost", COST_DECIMALS, required=True),
    _text("BillingAccountId", required=True),
    _text("BillingAccountName", required=True),
    _text("BillingAccountType", required=True),
    _text("BillingCurrency", required=True),
    _instant("BillingPeriodEnd"),
    _instant("BillingPeriodStart"),
    _text("ChargeCategory", required=True),
    _text("ChargeClass"),
    _text("ChargeDescription", required=True, characters_max=DESCRIPTION_CHARACTERS_MAX),
    _text("ChargeFrequency", required=True),
    _instant("ChargePeriodEnd"),
    _instant("ChargePeriodStart"),
    _text("CommitmentDiscountCategory"),
    _text("CommitmentDiscountId"),
    _text("CommitmentDiscountName"),
    _decimal("CommitmentDiscountQuantity", COST_DECIMALS),
    _text("CommitmentDiscountStatus"),
    _text("CommitmentDiscountType"),
    _text("CommitmentDiscountUnit"),
    _decimal("ConsumedQuantity", 1),
    _text("ConsumedUnit"),
    _decimal("ContractedCost", COST_DECIMALS, required=True),
    _decimal("ContractedUnitPrice", PRICE_DECIMALS),
    _decimal("EffectiveCost", COST_DECIMALS, required=True),
    _text("InvoiceId"),
    _text("InvoiceIssuerName", required=True),
    _decimal("ListCost", COST_DECIMALS, required=True),
    _decimal("ListUnitPrice", PRICE_DECIMALS),
    _text("PricingCategory"),
    _text("PricingCurrency", required=True),
    _decimal("PricingCurrencyContractedUnitPrice", PRICE_DECIMALS),
    _decimal("PricingCurrencyEffectiveCost", COST_DECIMALS, required=True),
    _decimal("PricingCurrencyListUnitPrice", PRICE_DECIMALS),
    _decimal("PricingQuantity", 6),
    _text("PricingUnit"),
    _text("ProviderName", required=True),
    _text("PublisherName", required=True),
    _text("ResourceId", characters_max=_SKU_CHARACTERS_MAX),
    _text("ResourceName"),
    _text("ResourceType"),
    _text("ServiceCategory", required=True),
    _text("ServiceName", required=True),
    _text("ServiceSubcategory", required=True),
    _text("SkuId", characters_max=_SKU_CHARACTERS_MAX),
    _text("SkuMeter"),
    Column("SkuPriceDetails", DataType.KEY_VALUE),
    _text("SkuPriceId", characters_max=_SKU_CHARACTERS_MAX),
    _text("SubAccountId"),
    _text("SubAccountName"),
    _text("SubAccountType"),
    Column("Tags", DataType.KEY_VALUE),
)
CUSTOM_COLUMNS: Final[tuple[Column, ...]] = (
    _decimal("x_CallCount", 1),
    _text("x_FundingLotId"),
    _text("x_GrantId"),
    _text("x_PolicyVersion"),
    _text("x_PriceBookDigest"),
    _text("x_PriceBookVersion"),
)
"""Our own columns, and all of them: who a wallet belongs to, how it is taxed and what it is used for privately is not among them."""
COLUMNS: Final[tuple[Column, ...]] = FOCUS_COLUMNS + CUSTOM_COLUMNS
COLUMN_NAMES: Final[tuple[str, ...]] = tuple(column.name for column in COLUMNS)

TAG_KEYS: Final = frozenset({"business_component", "cost_center", "project"})
"""What a cost is allocated by. Sessions and outcomes are behaviour, and `purpose` tells personal use from work: they stay here."""

ALLOWED_VALUES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "ChargeCategory": frozenset(one.value for one in ChargeCategory),
        "ChargeClass": frozenset({"Correction"}),
        "ChargeFrequency": frozenset({"One-Time", "Recurring", "Usage-Based"}),
        "CommitmentDiscountCategory": frozenset({"Spend", "Usage"}),
        "CommitmentDiscountStatus": frozenset({"Used", "Unused"}),
        "PricingCategory": frozenset({"Standard", "Dynamic", "Committed", "Other"}),
        "ServiceCategory": frozenset({"AI and Machine Learning"}),
        "ServiceSubcategory": frozenset({"Generative AI"}),
    }
)
"""FOCUS allows more services; what a gateway for models charges is one of them."""

SKU_PRICE_PROPERTIES: Final = frozenset(
    {
        "CoreCount", "DiskMaxIops", "DiskSpace", "DiskType", "GpuCount", "InstanceSeries", "InstanceType", "MemorySize",
        "NetworkMaxIops", "NetworkMaxThroughput", "OperatingSystem", "Redundancy", "StorageClass",
    }
)  # fmt: skip
"""The keys that FOCUS 1.2 defines for SkuPriceDetails; any other begins with `x_` (SkuPriceDetails-C-017)."""


class MeterFacts(NamedTuple):
    """How a meter is sold: its name, what is counted, and ten to which power of them a price is for."""

    sku_meter: str
    unit: str
    pricing_power: int
    details: Mapping[str, str]

    @property
    def pricing_unit(self) -> str:
        """`1000000 Tokens`, or the unit itself where a price is for one."""
        return f"{10**self.pricing_power} {self.unit}" if self.pricing_power else self.unit


def _tokens(sku_meter: str, direction: str, cache_action: str = "None", **more: str) -> MeterFacts:
    """Model tokens under the names of FOCUS 1.5, each with `x_` until that version is there (reference: books, §4.1)."""
    details = {"x_CacheAction": cache_action, "x_TokenDirection": direction, **more}
    return MeterFacts(sku_meter, "Tokens", 6, MappingProxyType(details))


def _units(sku_meter: str, unit: str, pricing_power: int = 0) -> MeterFacts:
    return MeterFacts(sku_meter, unit, pricing_power, MappingProxyType({}))


METER_FACTS: Final[Mapping[Meter, MeterFacts]] = MappingProxyType(
    {
        Meter.INPUT: _tokens("Input Tokens", "Input"),
        Meter.CACHE_READ: _tokens("Cache Read Tokens", "Input", "Read"),
        Meter.CACHE_WRITE_5M: _tokens("Cache Write Tokens (5 Minutes)", "Input", "Write", x_CacheLifetime="5m"),
        Meter.CACHE_WRITE_1H: _tokens("Cache Write Tokens (1 Hour)", "Input", "Write", x_CacheLifetime="1h"),
        Meter.INPUT_AUDIO: _tokens("Audio Input Tokens", "Input", x_Modality="Audio"),
        Meter.INPUT_IMAGE: _tokens("Image Input Tokens", "Input", x_Modality="Image"),
        Meter.OUTPUT: _tokens("Output Tokens", "Output"),
        Meter.REASONING: _tokens("Reasoning Tokens", "Output"),
        Meter.OUTPUT_AUDIO: _tokens("Audio Output Tokens", "Output", x_Modality="Audio"),
        Meter.OUTPUT_IMAGE: _tokens("Image Output Tokens", "Output", x_Modality="Image"),
        Meter.REQUEST: _units("Requests", "Requests"),
        Meter.WEB_SEARCH: _units("Web Searches", "Searches", 3),
        Meter.WEB_FETCH: _units("Web Fetches", "Fetches", 3),
        Meter.FILE_SEARCH: _units("File Searches", "Searches", 3),
        Meter.CODE_SECOND: _units("Code Execution Time", "Seconds"),
        Meter.SEARCH_UNIT: _units("Rerank Searches", "Searches", 3),
        Meter.IMAGE: _units("Images", "Images"),
        Meter.CHARACTER: _units("Characters", "Characters", 6),
        Meter.AUDIO_SECOND: _units("Audio Time", "Seconds"),
        Meter.TRAINING: _units("Training Tokens", "Tokens", 6),
    }
)
"""Published units: per million model tokens or characters, per thousand searches, per one of anything else. Time is priced by the
second, because a share of an hour is no finite decimal."""


def schema_id() -> str:
    """The name of this set of columns: it changes when a column does, and with nothing else."""
    said = json.dumps([FOCUS_VERSION, _definitions()], sort_keys=True, separators=(",", ":"))
    return f"tokenroll-focus-{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def schema_json(created_at: Instant) -> str:
    """The schema object that FOCUS asks for beside the data (FOCUS 1.2, Schema Metadata): version, date, and every column.

    A reader makes its tables from it, and compares `SchemaId` to see that nothing has changed.
    """
    schema = {
        "SchemaId": schema_id(),
        "FocusVersion": FOCUS_VERSION,
        "CreationDate": text_from_instant(created_at),
        "ColumnDefinition": _definitions(),
    }
    return json.dumps(schema, indent=2) + "\n"


def _definitions() -> list[dict[str, str | int]]:
    return [_definition(column) for column in COLUMNS]


def _definition(column: Column) -> dict[str, str | int]:
    said: dict[str, str | int] = {"ColumnName": column.name, "DataType": column.data_type.value}
    if column.data_type is DataType.DECIMAL:
        said |= {"NumericPrecision": DECIMAL_DIGITS_MAX, "NumberScale": column.decimals}
    elif column.data_type is DataType.TEXT:
        said |= {"StringMaxLength": column.characters_max, "StringEncoding": "UTF-8"}
    return said
