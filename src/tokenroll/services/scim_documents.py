"""SCIM's documents (RFC 7643): which attributes there are, how one is spelled, and errors in the words of the protocol.

Providers spell as they like: names in any case, `"False"` for false, one value where a list belongs. What comes in is brought into one
spelling here, so that nothing behind this module knows of it. Attributes that are not in these tables are not kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokenroll.model.limits import NAME_CHARACTERS_MAX, SCIM_VALUES_MAX
from tokenroll.model.member import EmploymentType

USER: Final = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP: Final = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE: Final = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
MEMBER: Final = "urn:ietf:params:scim:schemas:extension:tokenroll:2.0:User"
ERROR: Final = "urn:ietf:params:scim:api:messages:2.0:Error"
LIST: Final = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
PATCH: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH: Final = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

Document = dict[str, Any]


class ScimError(Exception):
    """A request that cannot be done. `kind` is the protocol's `scimType`, empty where it has none."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail

    def document(self) -> Document:
        """The error as the protocol tells it."""
        told: Document = {"schemas": [ERROR], "status": str(self.status), "detail": self.detail}
        return {**told, "scimType": self.kind} if self.kind else told


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute, told in the words of RFC 7643 §7."""

    name: str
    description: str
    type: str = "string"
    many: bool = False
    required: bool = False
    case_exact: bool = False
    read_only: bool = False
    unique: bool = False
    parts: tuple["Attribute", ...] = ()
    words: tuple[str, ...] = ()
    refers_to: str = ""

    def document(self) -> Document:
        """As `/Schemas` tells it."""
        told: Document = {
            "name": self.name,
            "type": self.type,
            "multiValued": self.many,
            "description": self.description,
            "required": self.required,
            "caseExact": self.case_exact,
            "mutability": "readOnly" if self.read_only else "readWrite",
            "returned": "default",
            "uniqueness": "server" if self.unique else "none",
        }
        if self.refers_to:
            told["referenceTypes"] = [self.refers_to]
        if self.words:
            told["canonicalValues"] = list(self.words)
        if self.parts:
            told["subAttributes"] = [part.document() for part in self.parts]
        return told


def _text(name: str, description: str, **more: Any) -> Attribute:
    return Attribute(name=name, description=description, **more)


def _address_of(kind: str, *, read_only: bool = False) -> Attribute:
    return Attribute(
        name="$ref", description="Its address; its last part stands for the id.", type="reference", case_exact=True,
        read_only=read_only, refers_to=kind,
    )  # fmt: skip


_COMMON: Final = (
    _text("id", "The member's or department's id here.", read_only=True, case_exact=True, unique=True),
    _text("externalId", "The provider's own id.", case_exact=True),
    Attribute(
        name="meta", description="When and where.", type="complex", read_only=True,
        parts=(
            *(_text(name, "", read_only=True, case_exact=True) for name in ("resourceType", "location", "version")),
            *(Attribute(name=name, description="", type="dateTime", read_only=True) for name in ("created", "lastModified")),
        ),
    ),
)  # fmt: skip
_USER: Final = (
    _text("userName", "The name with which somebody signs in; tells users apart, in any case.", required=True, unique=True),
    Attribute(
        name="name", description="The name in parts.", type="complex",
        parts=(_text("formatted", "The whole name."), _text("familyName", "Family name."), _text("givenName", "Given name.")),
    ),
    _text("displayName", "What people call them; the member's name."),
    _text("title", "Job title; kept, not used."),
    _text("userType", "Relation to the company; kept, not used."),
    _text("timezone", "IANA time zone of their days."),
    Attribute(name="active", description="False stops every key at once; true allows new ones.", type="boolean"),
    Attribute(
        name="emails", description="Addresses.", type="complex", many=True,
        parts=(
            _text("value", "The address."), _text("display", "Shown in its place."), _text("type", "Such as work."),
            Attribute(name="primary", description="The one to use.", type="boolean"),
        ),
    ),
    Attribute(
        name="groups", description="The department.", type="complex", many=True, read_only=True,
        parts=(*(_text(name, "", read_only=True, case_exact=True) for name in ("value", "display", "type")), _address_of("Group", read_only=True)),
    ),
)  # fmt: skip
_ENTERPRISE: Final = (
    _text("employeeNumber", "The id by which the people system knows them; joins a member that was imported.", case_exact=True, unique=True),
    _text("department", "Name of the department that bears the cost; made when it is not there."),
    Attribute(
        name="manager", description="Whoever is above them.", type="complex",
        parts=(_text("value", "The manager's id here.", case_exact=True), _text("displayName", "Their name.", read_only=True), _address_of("User")),
    ),
)  # fmt: skip
_MEMBER: Final = (
    _text("level", "Such as L4."),
    _text("location", "Where they work."),
    _text("employmentType", "The relation that plans ask for.", words=tuple(EmploymentType)),
    _text("hiredOn", "First day, such as 2026-01-15."),
    _text("leftOn", "Last day; recorded by HR, not by the provider.", read_only=True),
    _text("partTime", "Part of full time, such as 0.8."),
)  # fmt: skip
_GROUP: Final = (
    _text("displayName", "The department's name.", required=True, unique=True),
    Attribute(
        name="members", description="Whose department it is; everybody has one, so adding somebody takes them out of their last one.",
        type="complex", many=True,
        parts=(_text("value", "The member's id here.", case_exact=True), _text("display", "Their name.", read_only=True), _text("type", "Always User.", words=("User",)), _address_of("User")),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of resource: its attributes by schema, its own schema first."""

    name: str
    place: str
    schemas: Mapping[str, tuple[Attribute, ...]]

    @property
    def core(self) -> str:
        """The schema whose attributes stand at the top."""
        return next(iter(self.schemas))

    def find(self, name: str) -> tuple[str, Attribute] | None:
        """Schema and attribute of a name, which may say its schema before it (`urn:…:User:department`); in any case."""
        plain = name.casefold()
        for schema, attributes in self.schemas.items():
            prefix = f"{schema.casefold()}:"
            own = plain.removeprefix(prefix)
            if own != plain or schema == self.core:
                known = (*_COMMON, *attributes) if schema == self.core else attributes
                found = next((one for one in known if one.name.casefold() == own), None)
                if found is not None:
                    return schema, found
        return None

    def known(self) -> str:
        """Every attribute there is, for people."""
        names = [one.name for schema, many in self.schemas.items() for one in many if schema == self.core]
        return ", ".join(["id", "externalId", *names, *[one for one in self.schemas if one != self.core]])


USERS: Final = Kind(name="User", place="/Users", schemas={USER: _USER, ENTERPRISE: _ENTERPRISE, MEMBER: _MEMBER})
GROUPS: Final = Kind(name="Group", place="/Groups", schemas={GROUP: _GROUP})
_TITLES: Final = {
    USER: ("User", "A member"), GROUP: ("Group", "A department"), ENTERPRISE: ("EnterpriseUser", "The member's place in the company"),
    MEMBER: ("TokenrollUser", "What plans ask of a member"),
}  # fmt: skip


def part_of(attribute: Attribute, name: str) -> Attribute | None:
    """The part of a complex attribute with this name, in any case."""
    return next((one for one in attribute.parts if one.name.casefold() == name.casefold()), None)


def spelled(kind: Kind, given: Any) -> Document:
    """A document in the one spelling: known attributes only, each of its type. Raises ScimError for a value of another type."""
    if not isinstance(given, dict):
        raise ScimError(400, "invalidSyntax", f"a {kind.name} is a JSON object")
    found: Document = {}
    for schema, attribute, value in _said(kind, given):
        if attribute.read_only:
            continue  # RFC 7644 §3.5.1: what is read-only is passed over
        place = found if schema == kind.core else found.setdefault(schema, {})
        place[attribute.name] = spelled_value(attribute, value)
    return found


def _said(kind: Kind, given: Document) -> Iterator[tuple[str, Attribute, Any]]:
    """Schema, attribute and value of everything known; an extension's attributes stand in an object or have it before their name."""
    by_name = {schema.casefold(): schema for schema in kind.schemas}
    for name, value in given.items():
        schema = by_name.get(name.casefold())
        if schema is not None and schema != kind.core:
            if not isinstance(value, dict):
                raise ScimError(400, "invalidValue", f"{name} is a JSON object")
            for inner, one in value.items():
                known = kind.find(f"{schema}:{inner}")
                if known is not None:
                    yield *known, one
            continue
        known = kind.find(name)
        if known is not None:
            yield *known, value


def spelled_value(attribute: Attribute, value: Any) -> Any:
    """A value of the attribute in the one spelling; None for none. Raises ScimError."""
    if value is None or value == "":
        return None
    if not attribute.many:
        return _one(attribute, value)
    values = [_one(attribute, one) for one in (value if isinstance(value, list) else [value])]
    if attribute.name == "emails" and len(values) > SCIM_VALUES_MAX:
        raise ScimError(400, "tooMany", f"{attribute.name} holds at most {SCIM_VALUES_MAX} values, not {len(values)}")
    return [one for one in values if one]


def _one(attribute: Attribute, value: Any) -> Any:
    if attribute.type == "complex":
        if isinstance(value, str | int) and not isinstance(value, bool):
            value = {"value": value}
        if not isinstance(value, dict):
            raise ScimError(400, "invalidValue", f"{attribute.name} is a JSON object, not {value!r:.60}")
        parts = ((part_of(attribute, name), one) for name, one in value.items())
        found = {part.name: spelled_value(part, one) for part, one in parts if part is not None and not part.read_only}
        address = found.pop("$ref", None)
        if address is not None and found.get("value") is None:
            found["value"] = str(address).rstrip("/").rpartition("/")[2]
        return {name: one for name, one in found.items() if one is not None}
    if attribute.type == "boolean":
        word = str(value).casefold()
        if word not in {"true", "false"}:
            raise ScimError(400, "invalidValue", f"{attribute.name} is true or false, not {value!r:.60}")
        return word == "true"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ScimError(400, "invalidValue", f"{attribute.name} is a text, not {value!r:.60}")
    text = str(value).strip()
    if len(text) > NAME_CHARACTERS_MAX or not text.isprintable():
        raise ScimError(
            400, "invalidValue", f"{attribute.name} is a text of at most {NAME_CHARACTERS_MAX} printable characters"
        )
    if attribute.words and text not in attribute.words:
        raise ScimError(400, "invalidValue", f"{attribute.name} is one of {', '.join(attribute.words)}, not {text!r}")
    return text or None


# ---- what the protocol asks of a provider ----------------------------------------------------------------------------------


def schemas(base: str) -> list[Document]:
    """`/Schemas`."""
    return [
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": urn,
            "name": _TITLES[urn][0],
            "description": _TITLES[urn][1],
            "attributes": [one.document() for one in attributes],
            "meta": {"resourceType": "Schema", "location": f"{base}/Schemas/{urn}"},
        }
        for kind in (USERS, GROUPS)
        for urn, attributes in kind.schemas.items()
    ]


def resource_types(base: str) -> list[Document]:
    """`/ResourceTypes`."""
    return [
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": kind.name,
            "name": kind.name,
            "endpoint": kind.place,
            "description": _TITLES[kind.core][1],
            "schema": kind.core,
            "schemaExtensions": [{"schema": urn, "required": False} for urn in kind.schemas if urn != kind.core],
            "meta": {"resourceType": "ResourceType", "location": f"{base}/ResourceTypes/{kind.name}"},
        }
        for kind in (USERS, GROUPS)
    ]


def provider_config(base: str, page_max: int) -> Document:
    """`/ServiceProviderConfig`."""
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": True, "maxResults": page_max},
        "changePassword": {"supported": False},
        "sort": {"supported": False},
        "etag": {"supported": True},
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "API key",
                "description": "A key made with `tokenroll key create --scope provision`, as `Authorization: Bearer …`",
                "primary": True,
            }
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": f"{base}/ServiceProviderConfig"},
    }
