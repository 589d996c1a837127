"""The dialect of OpenAI's embeddings: input and no output, so nothing is capped."""

from typing import Final

from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import CallMeter
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.fields import by_plain_name, check_fields
from tokenroll.upstream.heads import count_texts, metadata_tags, read_head, user_text
from tokenroll.upstream.openai import WholeChatMeter, read_usage
from tokenroll.upstream.openai_endpoint import OpenAIEndpoint
from tokenroll.upstream.shapes import ChatUsage

_READ: Final = by_plain_name(("model", "input", "user", "metadata"))


class EmbeddingsMeter(WholeChatMeter):
    """Usage of an answer with embeddings: what was read is all there is."""

    __slots__ = ()

    def _read(self, usage: ChatUsage) -> None:
        read_usage(self, usage)
        if self.counts[counts.INPUT] is not None:
            self.saw_usage = True
            self.counts[counts.REQUEST] = 1

    def output_tokens_seen(self) -> int:
        return 0


class Embeddings(OpenAIEndpoint):
    """The dialect of `POST /v1/embeddings`; see Dialect for what each method promises."""

    index = 4
    name = "embeddings"
    path = b"/v1/embeddings"
    has_tiers = False

    def facts(self, body: bytes) -> Facts:
        """See Dialect. Texts and token ids are bounded by their bytes; whatever else could be embedded is refused."""
        facts = Facts()
        head = read_head(body, facts)
        check_fields(head, _READ, writes=False)
        facts.has_output = False
        facts.message_count = count_texts(head.get("input"), "input")
        facts.user = user_text(head.get("user"), "user")
        if "metadata" in head:
            facts.tags = metadata_tags(body, head)
        return facts

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - there is no stream of embeddings
        """See Dialect."""
        return EmbeddingsMeter()
