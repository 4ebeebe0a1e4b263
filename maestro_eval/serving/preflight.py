"""Ask every endpoint whether anybody is there, before a run is begun.

A typo in a port would otherwise cost every rollout its retries. Any HTTP reply counts as being there: not every
server lists its models.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from maestro_eval.registry import Registry
from maestro_eval.types import UserError

_TIMEOUT_S = 5.0


def check_endpoints(registry: Registry) -> None:
    """UserError naming the first endpoint that experts need and that does not answer within 5 s.

    ``registry`` must be bound. Services are optional: theirs are not asked.
    """
    needed = {expert.endpoint for expert in registry.experts.values()}
    urls = {name: registry.endpoints[name].url for name in sorted(needed)}
    with ThreadPoolExecutor(max_workers=8) as pool:
        problems = dict(zip(urls, pool.map(_problem, urls.values()), strict=True))
    for name, problem in problems.items():
        if problem:
            raise UserError(
                f"{registry.path}: endpoints.{name}.url: {urls[name]} does not answer ({problem}); "
                f"start the server there or correct the address"
            )


def check_address(url: str, what: str) -> None:
    """The same for one address that is in no registry; ``what`` says in the error whose it is."""
    problem = _problem(url)
    if problem:
        raise UserError(f"{what}: {url} does not answer ({problem}); start the server there or correct the address")


def _problem(url: str) -> str:
    # Addresses come from the user's own registry and begin with http; a proxy would answer for a dead server.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/models", timeout=_TIMEOUT_S):
            return ""
    except urllib.error.HTTPError:
        return ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        # HTTPException: something else than HTTP listens there; ValueError: no such host name or port can be.
        reason = getattr(error, "reason", error)
        return " ".join(str(getattr(reason, "strerror", None) or reason or type(reason).__name__).split())
