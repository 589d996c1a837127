"""The dialect of reranking, which OpenAI has not and servers that speak its API have: one query, many documents, no output."""

from typing import Any, Final

from tokenroll.model.limits import RERANK_DOCUMENTS_MAX, RERANK_DOCUMENTS_PER_UNIT, RERANK_PART_BYTES
from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import CallMeter
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.fields import by_plain_name, check_fields
from tokenroll.upstream.heads import (
    not_bounded,
    raw_fields,
    read_head,
    refuse,
    refuse_doubles,
    user_text,
    whole_number,
    wrong_type,
)
from tokenroll.upstream.media import MediaMeter, units_of
from tokenroll.upstream.openai_endpoint import OpenAIEndpoint
from tokenroll.upstream.shapes import Item, MediaAnswer, PartsItem
from tokenroll.upstream.usage import count_of, object_of

_READ: Final = by_plain_name(("model", "query", "documents", "top_n", "user"))
_PICTURES: Final = frozenset({"image", "image_url", "url", "content", "video"})
"""What a document may be in place of text at servers that rank pictures: its bytes do not bound it."""


class RerankMeter(MediaMeter):
    """Usage of an answer with ranks: units where the provider bills them, else the tokens that were read."""

    __slots__ = ()

    def _on_answer(self, answer: MediaAnswer) -> None:
        billed = object_of(object_of(answer.meta).get("billed_units"))
        units = units_of(billed.get("search_units"), self, "search_units")
        if units is not None:
            self.counts[counts.SEARCH_UNIT] = units
            self._seen()
            return
        super()._on_answer(answer)

    def _on_usage(self, usage: dict[str, Any]) -> None:
        read = count_of(usage.get("total_tokens"), self, "total_tokens")
        if read is None:
            read = count_of(usage.get("prompt_tokens"), self, "prompt_tokens")
        if read is not None:
            self.counts[counts.INPUT] = read
            self._seen()

    def output_tokens_seen(self) -> int:
        return 0


class Rerank(OpenAIEndpoint):
    """The dialect of `POST /v1/rerank`; see Dialect for what each method promises."""

    index = 6
    name = "rerank"
    path = b"/v1/rerank"
    has_tiers = False

    def facts(self, body: bytes) -> Facts:
        """See Dialect. The query is read again beside every document, and a long document is read in parts."""
        facts = Facts()
        head = read_head(body, facts)
        check_fields(head, _READ, writes=False)
        facts.is_text = False
        facts.has_output = False
        facts.beyond_bytes = True
        query = head.get("query")
        if type(query) is not str:
            if query is None:
                refuse("missing_required_parameter", "Missing required parameter: 'query'.", "query")
            wrong_type("query", "a string", query)
        documents = facts.message_count = self._documents(body, head.get("documents"))
        if head.get("top_n") is not None:
            whole_number(head["top_n"], "top_n", 1, RERANK_DOCUMENTS_MAX)
        facts.extra_input_tokens = (documents - 1) * len(query.encode())
        parts_max = documents + len(body) // RERANK_PART_BYTES
        facts.unit_maxima = ((counts.SEARCH_UNIT, _units(parts_max), _units(documents)),)
        facts.user = user_text(head.get("user"), "user")
        return facts

    @staticmethod
    def _documents(body: bytes, value: Any) -> int:
        """How many documents there are, all of them text. Raises RequestRefused naming the first that is other."""
        if value is None:
            refuse("missing_required_parameter", "Missing required parameter: 'documents'.", "documents")
        if type(value) is not list:
            wrong_type("documents", "an array", value)
        if not 0 < len(value) <= RERANK_DOCUMENTS_MAX:
            refuse(
                "invalid_value",
                f"'documents' must hold 1 to {RERANK_DOCUMENTS_MAX} documents, not {len(value)}.",
                "documents",
            )
        objects = False
        for index, one in enumerate(value):
            if one.__class__ is Item or one.__class__ is PartsItem:
                objects = True
            elif type(one) is not str:
                wrong_type(f"documents[{index}]", "a string or an object", one)
        if objects:
            refuse_doubles(body, "documents")
            for index, names in enumerate(raw_fields(body, "documents")):
                if not _PICTURES.isdisjoint(names):
                    not_bounded(f"documents[{index}]", "a document that is no text")
        return len(value)

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - there is no stream of ranks
        """See Dialect."""
        return RerankMeter()


class RerankV2(Rerank):
    """The same where Cohere's second version has it."""

    index = 7
    path = b"/v2/rerank"


def _units(documents: int) -> int:
    return -(-documents // RERANK_DOCUMENTS_PER_UNIT)
