"""Calling models: an async client for chat-completions endpoints, with limits, retries, deadlines and a cache.

The simulated server for tests is in ``maestro_eval.testing``; importing this room does not load it.
"""

from maestro_eval.models.cache import CallCache, make_cache_folder
from maestro_eval.models.client import ExpertClient, RetryPolicy
from maestro_eval.models.http import EndpointError, HttpRequest
from maestro_eval.models.limiter import InUse, Places
from maestro_eval.models.openai_codec import ModelAsk, ServedModel

__all__ = [
    "CallCache",
    "EndpointError",
    "ExpertClient",
    "HttpRequest",
    "InUse",
    "ModelAsk",
    "Places",
    "RetryPolicy",
    "ServedModel",
    "make_cache_folder",
]
