"""Every gateway that can be judged, by name."""

from judge.adapters.litellm import LiteLLM
from judge.adapters.naive import Naive
from judge.adapters.otari import Otari
from judge.adapters.tokenroll import Tokenroll
from judge.gateway import Gateway

GATEWAYS: dict[str, type[Gateway]] = {one.name: one for one in (Tokenroll, LiteLLM, Otari, Naive)}
