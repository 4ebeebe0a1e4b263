"""How is a model called? An async client for chat-completions endpoints: limits, retries, deadlines, a cache.

The simulated server for tests is in ``maestro_eval.testing``; importing this room does not load it.
"""

from maestro_eval.models.cache import CallCache, make_cache_folder
from maestro_eval.models.client import ExpertClient
from maestro_eval.models.records import Endpoint, ModelAsk
from maestro_eval.models.retry import RetryPolicy

__all__ = ["CallCache", "Endpoint", "ExpertClient", "ModelAsk", "RetryPolicy", "make_cache_folder"]
