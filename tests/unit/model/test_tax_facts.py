from tokenroll.model.tax_facts import Convertible, Denomination, TaxFacts


def test_what_nobody_declared_is_known_to_be_so():
    facts = TaxFacts(convertible=Convertible.NONE, denomination=Denomination.CREDITS, salary_sacrifice=False)
    assert facts.undeclared == (
        "use_scope", "catalogue", "entitlement", "stated_reason", "supplier", "recipient", "company_device", "carryover",
        "credential_form", "personal_share",
    )  # fmt: skip
