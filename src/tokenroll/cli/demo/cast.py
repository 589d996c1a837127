"""Acme: 42 made-up people in 4 departments, and the plans that they are under."""

from typing import Final

ADA: Final = "Ada Lindqvist"
BEN: Final = "Ben Okafor"
BO: Final = "Bo Sandberg"
NIGHTLY: Final = "Nightly agent"
STIPEND_PLAN: Final = "Working tokens"
BONUS_PLAN: Final = "Signing bonus"
STIPEND_NANOS: Final = 5 * 10**9
BONUS_NANOS: Final = 24 * 10**9
"""Small amounts, because the month is: about one call in twenty of what such people make."""

DEPARTMENTS: Final = {
    "Engineering": (
        ADA, BEN, "Chiara Rossi", "Dmitri Volkov", "Elif Demir", "Farid Nazari", "Greta Holm", "Hugo Marques",
        "Irma Carvalho", "Jonas Weber", "Kira Novak", "Liam Byrne", "Mei Tanaka", "Nils Aalto", "Oona Virtanen",
        "Priya Raman", "Quentin Morel", "Rosa Iglesias",
    ),
    "Product": (
        BO, "Sara Haddad", "Tomas Kral", "Uma Pillai", "Viktor Lang", "Wanda Zielinska", "Xavier Dupont",
        "Yara Costa",
    ),
    "Support": (
        "Zoe Papadakis", "Aron Levi", "Bea Fischer", "Carlos Mendez", "Daria Popa", "Emil Krog", "Fatou Diallo",
        "Gil Navarro", "Hana Kim", "Ivo Horvat",
    ),
    "Finance and HR": (
        "Cleo Marchetti", "Dev Anand", "Jana Sedlak", "Karl Brandt", "Lucia Vega", "Milan Petrov",
    ),
}  # fmt: skip
"""The first of each department is its best known; Bo manages, Cleo is finance, Dev is HR."""

PEOPLE: Final = tuple(name for names in DEPARTMENTS.values() for name in names)
MODELS: Final = (
    "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-haiku-4-5", "gpt-6-sol", "gpt-5-mini", "gpt-4o-mini",
)  # fmt: skip
