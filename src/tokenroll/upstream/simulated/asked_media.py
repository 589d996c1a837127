"""What requests for verdicts, ranks, pictures and sound ask for, and by the provider's own rules what each of them uses."""

from typing import Any, Final

from tokenroll.upstream.simulated.asked import OVERHEAD_PER_MESSAGE, Asked, Refusal, count, decoded, model_of, tokens

DOCUMENTS_PER_SEARCH: Final = 100


def _whole(body: dict[str, Any], endpoint: str, model: str) -> Asked:
    """A request whose answer is not streamed and whose input is not cached."""
    asked = Asked(
        endpoint=endpoint, model=model, stream=False, segments=[], input_tokens=0, last_role="user", cap=0, choices=0
    )
    asked.body = body
    return asked


def asked_of_moderations(raw: bytes) -> Asked:
    """What a request for verdicts asks for; it costs nothing. Raises Refusal."""
    body = decoded(raw)
    given = body.get("input")
    parts = [given] if isinstance(given, str) else given
    if not isinstance(parts, list) or not parts:
        raise Refusal(400, "invalid_request_error", "Missing required parameter: 'input'.", "input")
    asked = _whole(body, "moderations", str(body.get("model") or "omni-moderation-latest"))
    # OpenAI judges each text of a list, and a list of parts as one
    asked.choices = len(parts) if all(isinstance(part, str) for part in parts) else 1
    asked.used = {}
    return asked


def asked_of_rerank(raw: bytes) -> Asked:
    """What a request for ranks asks for: the query is read again with every document. Raises Refusal."""
    body = decoded(raw)
    asked = _whole(body, "rerank", model_of(body))
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not isinstance(documents, list) or not documents:
        raise Refusal(400, "invalid_request_error", "'query' and 'documents' are needed.", "documents")
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in documents]
    read = sum(tokens(query.encode()) + tokens(one.encode()) + OVERHEAD_PER_MESSAGE for one in texts)
    asked.choices = min(count(body, "top_n") or len(texts), len(texts))
    asked.used = {"input": read, "search_unit": -(-len(texts) // DOCUMENTS_PER_SEARCH)}
    return asked
