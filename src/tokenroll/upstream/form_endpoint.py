"""What endpoints share that take forms: which way a request is written is decided once per head, and JSON calls pay nothing for it."""

from collections.abc import Collection, Mapping

from tokenroll.model.limits import NAME_CHARACTERS_MAX
from tokenroll.upstream.dialect import Buffers, Dialect
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.fields import check_fields
from tokenroll.upstream.forms import FORM_TYPE, Form, boundary_of, read_form
from tokenroll.upstream.heads import refuse, refuse_model, user_text
from tokenroll.upstream.openai_endpoint import OpenAIEndpoint


class FormEndpoint(OpenAIEndpoint):
    """A dialect whose requests may be forms. Without a boundary it reads JSON; `read_as` gives the one that reads a head's bodies."""

    takes_forms = True
    has_tiers = False
    default_model = ""
    """What the provider takes for a form that names no model."""

    def __init__(self, boundary: bytes = b"") -> None:
        self.boundary = boundary

    def read_as(self, content_types: list[bytes]) -> Dialect:
        """The dialect of bodies with these content types, of which a request has one at most."""
        if len(content_types) > 1:
            return self.with_boundary(b"?")  # no body begins with it, so whichever type was meant, none is guessed
        if not content_types or not content_types[0].lower().startswith(FORM_TYPE):
            return self
        return self.with_boundary(boundary_of(content_types[0]) or b"?")

    def with_boundary(self, boundary: bytes) -> Dialect:
        """The same for forms with this boundary."""
        return type(self)(boundary)

    def form(self, body: bytes, facts: Facts, read: Mapping[str, str], lists: Collection[str]) -> Form:
        """The form, and what every form has written into `facts`. Raises RequestRefused.

        `read` are the fields that a dialect reads, as `fields.by_plain_name` has them; but for the `lists` among them each has one value.
        """
        form = read_form(body, self.boundary)
        check_fields({**form.nested, **form.fields}, read)
        for name in form.nested:
            if name in read.values() and name not in lists:
                refuse(
                    "invalid_type",
                    f"Invalid type for '{name}': expected one value, but got a list or an object instead.",
                    name,
                )
        model = form.fields.get("model", self.default_model)
        if not 0 < len(model) <= NAME_CHARACTERS_MAX or not model.isprintable():
            refuse_model(model or None)
        facts.model = model
        facts.stream = form_boolean(form, "stream")
        facts.input_bytes = len(body) - form.file_bytes
        facts.is_text = False
        facts.beyond_bytes = True
        facts.user = user_text(form.fields.get("user"), "user")
        return form

    def rewrite(
        self,
        body: bytes,
        facts: Facts,
        *,
        model: str,
        output_cap_tokens: int,
        inject_usage: bool,
        service_tier: str | None,
        searches: int | None = None,
    ) -> Buffers:
        """See Dialect. In a form only the model is ever replaced; a form that names none has it put first."""
        if not self.boundary:
            return super().rewrite(
                body,
                facts,
                model=model,
                output_cap_tokens=output_cap_tokens,
                inject_usage=inject_usage,
                service_tier=service_tier,
                searches=searches,
            )
        if model == facts.model:
            return [body]
        spans = read_form(body, self.boundary).spans
        if "model" not in spans:
            part = b'--%b\r\ncontent-disposition: form-data; name="model"\r\n\r\n%b\r\n' % (
                self.boundary,
                model.encode(),
            )
            return [part, body]
        start, end = spans["model"]
        view = memoryview(body)
        return [view[:start], model.encode(), view[end:]]


def refuse_texts(form: Form, names: Collection[str], remedy: str = "") -> None:
    """Refuses a text of a name that files have: some servers would take it for the file, and the bound goes by the file that was sent."""
    for name in names:
        if name in form.fields or name in form.nested:
            refuse(
                "invalid_type",
                f"Invalid type for '{name}': expected a file, sent with a file name, but got a text instead.{remedy}",
                name,
            )


def form_boolean(form: Form, name: str) -> bool:
    """A field that is `true` or `false`; absent is False."""
    value = form.fields.get(name, "false").lower()
    if value not in {"true", "false"}:
        refuse("invalid_type", f"Invalid type for '{name}': expected a boolean, but got {value[:40]!r} instead.", name)
    return value == "true"


def form_number(form: Form, name: str) -> int | None:
    """A field that is a whole number; None when it is absent."""
    value = form.fields.get(name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        refuse("invalid_type", f"Invalid type for '{name}': expected an integer, but got {value[:40]!r} instead.", name)
    return int(value)
