"""Facts: what a request's head says."""

from typing import Final

PROMPT_CACHE_KEY: Final = "prompt_cache_key"
"""The field that says which requests share a cache."""


class Batched:
    """How many requests a batch is made of, and of which kinds; what they ask for is summed in its facts."""

    __slots__ = ("image_request_count", "request_count", "tool_request_count", "uncapped_choice_count", "window_count")

    def __init__(self) -> None:
        self.request_count = 0
        self.tool_request_count = 0
        self.image_request_count = 0
        """Those with images, and nothing else that their bytes do not bound."""
        self.window_count = 0
        """Those that may read a whole context."""
        self.uncapped_choice_count = 0
        """Answers whose length no cap bounds: each may be as long as the model writes, because nothing of a batch is lowered."""


class Facts:
    """What the head of a request says, as far as bounds and policy need it.

    Defaults are the class's: one is made per call, and only what differs is then written.
    """

    model: str = ""
    stream: bool = False
    output_cap_tokens: int = 0
    """The client's own cap on output, 0: it named none."""
    cap_field: str = ""
    """The field that a cap is written to: the client's own one, else the dialect's preferred one."""
    second_cap_field: str = ""
    """The other cap field when the client gave both."""
    fields: tuple[str, ...] = ()
    """The names of the request's fields, so that one that is there is replaced and never doubled."""
    choice_count: int = 1
    message_count: int = 0
    tool_count: int = 0
    has_tools: bool = False
    input_bytes: int = 0
    """What its input weighs: the body's bytes, and for each image, file or sound in it what such a thing usually costs in their place."""
    extra_input_tokens: int = 0
    """Input that the provider adds for the tools it defines itself, beyond the card's own overheads."""
    include_usage: bool = False
    has_stream_options: bool = False
    service_tier: str = ""
    """In the words of rate cards; "" when the client named none or left it to the provider."""
    thinking_budget_tokens: int = 0
    web_search_max: int = 0
    server_tool_uses_max: int = 0
    """Tool uses on the provider's side: each may read a whole context again, so the bound asks for the context window."""
    search_is_open: bool = False
    """Whether it may search and names no limit: then admission says how often, up to the two figures above."""
    reads_stored: bool = False
    """Whether it goes on from what the provider has stored, which no other provider has."""
    kept_by: str = ""
    """The deployment that has it, where that is known."""
    fills_window: bool = False
    """Whether its bytes do not bound its input: it goes on from what the provider has stored, or carries files or sound. Then its input
    is as large as the context window may be."""
    window_tokens: int = 0
    """The context window that its head asks for by name; its rate card must have one as large, or its prices are not those of the card."""
    image_count: int = 0
    """The images that it carries, wherever they stand: each costs what its rate card says at most, or the call fills the window."""
    in_background: bool = False
    """Whether its provider goes on with it when nobody listens any more."""
    has_audio: bool = False
    """Whether it carries sound, which must have a price of its own."""
    speaks: bool = False
    """Whether its answer may be sound, each token of which must have a price of its own. Nothing lowers its cap: a sound that is cut off is
    no answer."""
    has_output: bool = True
    """False for embeddings and what else writes nothing: there is nothing to cap."""
    is_text: bool = True
    """False for calls that other meters than those of text may count: pictures, sound, searches of a reranker, answers aloud."""
    beyond_bytes: bool = False
    """Whether its bytes do not bound its input or its fees: tools on the provider's side, stored input, images, files, sound, units."""
    trains: bool = False
    """Whether it is billed by what a model is trained on, and by nothing else."""
    unit_maxima: tuple[tuple[int, int, int], ...] = ()
    """What it may be billed by in place of tokens: `(place in METERS, at most, likely so many)`. Its rate card says which of them count."""
    cache_aid: int = 0
    """What was done to it so that its prompt is read from the provider's cache, as its HOLD says it."""
    cache_key: bytes = b""
    """The value of its PROMPT_CACHE_KEY, where it is sent with one of ours."""
    batched: Batched | None = None
    """What a batch is made of; None for a call of one request. A batch is sent as it is: neither cap nor model is changed."""
    tags: str = ""
    """What its metadata says of the call, in the form in which tags are recorded (model/tag.py)."""
    user: str = ""
