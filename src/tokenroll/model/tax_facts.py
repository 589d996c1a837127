"""Tax facts: what a tax rule asks about an allowance, declared with its plan (reference: books, §1.1).

A fact that nobody declared is None. Taxes then count the most taxable answer and ask for a review; nothing is guessed in
the company's favour.
"""

from dataclasses import dataclass, fields
from enum import StrEnum


class UseScope(StrEnum):
    """What it may be used for."""

    BUSINESS_ONLY = "business_only"
    INCIDENTAL_PERSONAL = "incidental_personal"
    PERSONAL_ALLOWED = "personal_allowed"


class Convertible(StrEnum):
    """What else it can become."""

    NONE = "none"
    CASH_CHOICE = "cash_choice"
    CASH_OUT = "cash_out"
    TRANSFERABLE = "transferable"
    PORTABLE_AFTER_EXIT = "portable_after_exit"


class Denomination(StrEnum):
    """In what it is counted before people."""

    CREDITS = "credits"
    MODEL_TOKENS = "model_tokens"
    CURRENCY = "currency"


class Catalogue(StrEnum):
    """Whether it buys one service for work, or whatever its holder picks."""

    SPECIFIED_SERVICE = "specified_service"
    OPEN_CATALOGUE = "open_catalogue"


class Entitlement(StrEnum):
    """Whether the company may end it, or owes it."""

    DISCRETIONARY = "discretionary"
    CONTRACTUAL = "contractual"


class StatedReason(StrEnum):
    """Why it is given, in the company's own papers."""

    NONCOMPENSATORY = "noncompensatory"
    RECRUITING = "recruiting"
    REWARD = "reward"
    MORALE = "morale"


class Supplier(StrEnum):
    """Who provides the service."""

    THIRD_PARTY = "third_party"
    EMPLOYER_OWN_PRODUCT = "employer_own_product"


class Recipient(StrEnum):
    """What the holder is to the company."""

    EMPLOYEE = "employee"
    DIRECTOR = "director"
    CONTRACTOR = "contractor"


class Carryover(StrEnum):
    """How far an unused part goes on."""

    NONE = "none"
    WITHIN_TAX_YEAR = "within_tax_year"
    BEYOND_TAX_YEAR = "beyond_tax_year"


class CredentialForm(StrEnum):
    """With what the holder reaches the service."""

    GATEWAY_SESSION = "gateway_session"
    PERSONAL_API_KEY = "personal_api_key"
    PROVIDER_VOUCHER = "provider_voucher"


class PersonalShare(StrEnum):
    """How the personal part of the use is measured, without reading what was asked."""

    TAG = "tag"
    ATTESTATION = "attestation"
    SAMPLE = "sample"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxFacts:
    """Every fact but the classification, which is the plan's own. None: not declared."""

    use_scope: UseScope | None = None
    convertible: Convertible | None = None
    denomination: Denomination | None = None
    catalogue: Catalogue | None = None
    salary_sacrifice: bool | None = None
    entitlement: Entitlement | None = None
    stated_reason: StatedReason | None = None
    supplier: Supplier | None = None
    recipient: Recipient | None = None
    company_device: bool | None = None
    carryover: Carryover | None = None
    credential_form: CredentialForm | None = None
    personal_share: PersonalShare | None = None

    @property
    def undeclared(self) -> tuple[str, ...]:
        """The facts that nobody declared, by name."""
        return tuple(one.name for one in fields(self) if getattr(self, one.name) is None)
