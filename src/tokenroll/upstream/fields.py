"""Which fields of a request pass that no dialect reads: all but those that let a provider bill more than was bounded.

Clients send new fields every week and most of them cost nothing, so what nobody has heard of passes. Refused are names that some
servers take for a field that is read here, and fields of which it is known that they buy something beside the answer that was bounded.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tokenroll.upstream.heads import not_bounded, refuse

_ANSWERS: Final = "more answers than were asked for"
_CAP: Final = "an output cap that this endpoint does not have"
_CODE: Final = "code that runs on the provider's side"
_MODEL: Final = "an answer from a model that was not asked"
_ROUTE: Final = "an answer by a way with prices of its own"
_SEARCH: Final = "searching the web on the provider's side"
_STORED: Final = "a context that the provider keeps"
_TOOLS: Final = "tools on the provider's side"
_WITHIN: Final = "fields within a field, which are not read"

_LONGER: Final = {
    "n": _ANSWERS, "ncmpl": _ANSWERS, "nchoices": _ANSWERS, "bestof": _ANSWERS, "candidatecount": _ANSWERS, "numcompletions": _ANSWERS,
    "numreturnsequences": _ANSWERS, "numgenerations": _ANSWERS, "numbeams": _ANSWERS, "beamwidth": _ANSWERS, "beamsize": _ANSWERS,
    "usebeamsearch": _ANSWERS, "numimages": _ANSWERS, "numberofimages": _ANSWERS, "samplecount": _ANSWERS, "batchsize": _ANSWERS,
    "maxtokens": _CAP, "maxcompletiontokens": _CAP, "maxoutputtokens": _CAP, "maxnewtokens": _CAP, "maxlength": _CAP, "maxgenlen": _CAP,
    "maxtokenstosample": _CAP, "npredict": _CAP, "numpredict": _CAP,
}  # fmt: skip
"""Where something is written: what multiplies or lengthens it, by the names that servers of models have for it."""
_DEARER: Final = {
    "models": _MODEL, "fallbacks": _MODEL, "fallbackmodels": _MODEL, "contextwindowfallbacks": _MODEL, "contentpolicyfallbacks": _MODEL,
    "modellist": _MODEL, "compoundcustom": _MODEL, "safetymodel": _MODEL, "preset": _MODEL,
    "provideroptions": _ROUTE, "provider": _ROUTE, "route": _ROUTE, "customllmprovider": _ROUTE, "apibase": _ROUTE, "baseurl": _ROUTE, "apikey": _ROUTE,
    "speed": "a speed with prices of its own", "inferencegeo": "a region that may be dearer than the rate card",
    "servicetier": "a service tier that this endpoint does not have",
    "numretries": "tries that nobody counts", "deferred": "an answer that comes after its call", "background": "an answer that comes after its call",
    "websearchoptions": _SEARCH, "websearch": _SEARCH, "searchparameters": _SEARCH, "enablesearch": _SEARCH,
    "searchsettings": _SEARCH, "enableenhancement": _SEARCH, "forcesearchenhancement": _SEARCH, "enabledeepsearch": _SEARCH,
    "plugins": _TOOLS, "mcpservers": _TOOLS, "datasources": _TOOLS, "enhancements": _TOOLS, "container": _CODE, "enablecodeinterpreter": _CODE,
    "svg": "a further model that writes the picture",
    "thread": _STORED, "compaction": "a summary that the provider makes on the way", "billingpolicy": "a bill to somebody else",
    "cachedcontent": _STORED, "previousresponseid": _STORED, "extrabody": _WITHIN, "google": _WITHIN, "veniceparameters": _WITHIN,
    "chattemplate": "a template that may repeat the prompt", "mmprocessorkwargs": "images in another size than the rate card's",
    "prediction": "a predicted output, whose rejected tokens are billed",
    "amazonbedrockguardrailconfig": "checks with prices of their own",
}  # fmt: skip
"""At any endpoint that does not read the field itself: what buys something else, and what that is."""
_HARMLESS: Final = frozenset({"", "0", "1", "false", "auto", "default", "standard", "global"})
"""Texts that ask for nothing more than their absence does; a form says everything in texts."""


def _plain(name: str) -> str:
    """A name as the most tolerant reader has it: without case, and in one word whether it was written with humps or underscores."""
    return name.casefold().replace("_", "").replace("-", "")


def by_plain_name(names: Iterable[str]) -> dict[str, str]:
    """The fields that a dialect reads, by what other names some servers would take for them."""
    return {_plain(name): name for name in names}


def check_fields(head: Mapping[str, Any], read: Mapping[str, str], *, writes: bool = True) -> None:
    """Raises RequestRefused for a field beside those that are `read` which may raise what the call costs; `writes`: there is an output."""
    for name, value in head.items():
        plain = _plain(name)
        twin = read.get(plain)
        if twin is not None:
            if twin != name:
                refuse(
                    "ambiguous_key",
                    f"The field {name!r} is not {twin!r}, but some servers read it so; which one counts would be a guess. "
                    f"Write {twin!r}, or leave it out.",
                    name,
                )
            continue
        what = _DEARER.get(plain) or (_LONGER.get(plain) if writes else None)
        if what is not None and not _is_harmless(value):
            not_bounded(name, what)


def _is_harmless(value: Any) -> bool:
    """Whether a field says no more than its absence would."""
    if value is None or value is False or value == []:
        return True
    if type(value) is int:
        return 0 <= value <= 1
    return type(value) is str and value in _HARMLESS
