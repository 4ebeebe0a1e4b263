"""Ask, before a run is begun, everybody whom it will call: whether somebody is there, with this key and this model.

A typo in a port would otherwise cost every rollout its retries, and a wrong name or an unset key every rollout. Any
HTTP reply but 401 counts as being there: not every server lists its models. One that does, and lists another name, is
asked for one token under the name in question, because gateways serve more than they list.
"""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import msgspec
from msgspec import Struct

from maestro_eval.models.error_body import error_said
from maestro_eval.policies import DirectSpec, FixedSpec, PolicySpec
from maestro_eval.records import CallError, UserError
from maestro_eval.registry import PIPELINES, Expert, Registry, Service

_TIMEOUT_S = 5.0
# One token of a model that is being warmed up; who has not answered by then is there all the same.
_TOKEN_S = 20.0
_UNKNOWN_MODEL = re.compile(r"model\b.{0,120}(?:not exist|not found|unknown|no such|invalid)", re.IGNORECASE)
_MOST_BODY = 4 << 20


class Fields(Struct, frozen=True):
    """Where a user wrote what is needed to call a model: its address, its key's variable and its name."""

    url: str
    key: str
    model: str


class Wanted(Struct, frozen=True):
    """A model that a run will call. A run does not begin without one that is ``required``."""

    kind: Literal["policy", "expert", "service"]
    name: str
    url: str
    written: Fields
    model: str = ""
    api_key_env: str = ""
    required: bool = True


class Lack(Struct, frozen=True):
    """A wanted model that cannot be called, and why."""

    wanted: Wanted
    fault: CallError


def wanted_of(registry: Registry, policy: PolicySpec | None = None) -> Iterator[Wanted]:
    """The experts of a bound registry, and the services whose evidence its skills use under ``policy``."""
    used = services_used(registry, policy)
    entries: tuple[Expert | Service, ...] = (*registry.experts.values(), *(registry.services[name] for name in used))
    for entry in entries:
        place = registry.endpoints[entry.endpoint]
        service = isinstance(entry, Service)
        yield Wanted(
            kind="service" if service else "expert",
            name=entry.name,
            url=place.url,
            written=Fields(
                f"{registry.path}: endpoints.{place.name}.url",
                f"{registry.path}: endpoints.{place.name}.api_key_env",
                f"{registry.path}: {'services' if service else 'experts'}.{entry.name}.model",
            ),
            model=entry.model,
            api_key_env=place.api_key_env,
            required=not (isinstance(entry, Service) and entry.optional),
        )


def wanted_policy(spec: PolicySpec, api_key_env: str) -> Iterator[Wanted]:
    """The policy's replicas, where it is behind endpoints."""
    written = Fields(f"--policy {spec.text}", "--policy-key-env", f"--policy {spec.text}")
    for url in spec.addresses:
        yield Wanted("policy", "policy", url, written, spec.text.partition("#")[2], api_key_env)


def services_used(registry: Registry, policy: PolicySpec | None = None) -> list[str]:
    """The services that may be asked: those of the skills; all of them where a skill's pipeline is the user's own.

    ``policy``: ``direct:`` uses no skill and ``fixed:`` one.
    """
    if isinstance(policy, DirectSpec):
        return []
    chosen = policy.skill if isinstance(policy, FixedSpec) else ""
    skills = [registry.skills[chosen]] if chosen in registry.skills else registry.skills.values()
    if any(skill.pipeline not in PIPELINES.bundled and not skill.evidence for skill in skills):
        return list(registry.services)
    uses = {
        use.service
        for skill in skills
        for evidence in (skill.evidence, *(solver.evidence or () for solver in skill.solvers.values()))
        for use in evidence
    }
    return [name for name in registry.services if name in uses]


class Checked(Struct, frozen=True):
    """Which models cannot be called from here, and the context of each whose server tells it, by ``url#model``."""

    lacks: tuple[Lack, ...]
    contexts: dict[str, int]

    def optional_lacks(self) -> tuple[Lack, ...]:
        """The lacks, where a run can do without them all; UserError naming the first that it cannot do without."""
        for lack in self.lacks:
            if lack.wanted.required:
                raise UserError(lack.fault.detail)
        return self.lacks


def check_models(wanted: Iterable[Wanted], environ: Mapping[str, str] = os.environ) -> Checked:
    """Ask for every one of ``wanted``; each address is asked once a key."""
    asked = list(wanted)
    ways = {(each.url, _key(each, environ)): each for each in asked}
    with ThreadPoolExecutor(max_workers=8) as pool:
        there = dict(zip(ways, pool.map(lambda way: _ask(*way), ways), strict=True))
        lacking = pool.map(lambda each: _lack(each, there[each.url, _key(each, environ)], environ), asked)
        lacks = tuple(Lack(each, fault) for each, fault in zip(asked, lacking, strict=True) if fault is not None)
    told = {f"{each.url}#{each.model}": there[each.url, _key(each, environ)].context_of(each.model) for each in asked}
    return Checked(lacks, {name: context for name, context in told.items() if context is not None})


class _Model(Struct, frozen=True):
    id: str
    max_model_len: int | None = None


class _Models(Struct, frozen=True):
    data: tuple[_Model, ...]


class _There(Struct, frozen=True):
    """What an address said: why nobody can be asked there, or the models that it lists."""

    fault: CallError | None = None
    models: tuple[_Model, ...] = ()

    def context_of(self, model: str) -> int | None:
        named = [each for each in self.models if each.id == model or (not model and len(self.models) == 1)]
        return named[0].max_model_len if named else None


_decoder = msgspec.json.Decoder(_Models)


def _key(wanted: Wanted, environ: Mapping[str, str]) -> str:
    return environ.get(wanted.api_key_env, "").strip() if wanted.api_key_env else ""


def _lack(wanted: Wanted, there: _There, environ: Mapping[str, str]) -> CallError | None:
    key, url, written = _key(wanted, environ), wanted.url, wanted.written
    if wanted.api_key_env and not key:
        unset = f"{written.key}: ${wanted.api_key_env} is not set; export {wanted.api_key_env}=…"
        return CallError("key", unset, retriable=False)
    if there.fault is not None and there.fault.status == 401:
        refused = f"{written.key}: {url} refuses the key in ${wanted.api_key_env}; correct it"
        needed = f"{written.key}: {url} needs a key; name the variable that holds it"
        return msgspec.structs.replace(there.fault, detail=refused if key else needed)
    if there.fault is not None:
        why = there.fault.detail
        down = f"{written.url}: {url} does not answer ({why}); start the server there or correct the address"
        return msgspec.structs.replace(there.fault, detail=down)
    names = [model.id for model in there.models]
    if not wanted.model or not names or wanted.model in names or not _is_refused(wanted, key):
        return None
    served = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    unknown = f"{written.model}: {url} serves no {wanted.model!r}, it serves {served}; correct the name"
    return CallError("http", unknown, 404, retriable=False)


def _ask(url: str, key: str) -> _There:
    """Once, and for the list of models only."""
    try:
        with _opener().open(_request(f"{url}/models", key), timeout=_TIMEOUT_S) as reply:
            return _There(models=_decoder.decode(reply.read(_MOST_BODY)).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _There()
    except urllib.error.HTTPError as error:
        with error:
            return _There(CallError("http", "401", 401, retriable=False) if error.code == 401 else None)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # HTTPException: something else than HTTP listens there; ValueError: no such host name or port can be.
        reason = getattr(error, "reason", error)
        said = " ".join(str(getattr(reason, "strerror", None) or reason or type(reason).__name__).split())
        return _There(CallError("connection", said))


def _is_refused(wanted: Wanted, key: str) -> bool:
    """Whether the server knows no model of that name: asked for one token, it says so."""
    body = msgspec.json.encode(
        {"model": wanted.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    )
    try:
        with _opener().open(_request(f"{wanted.url}/chat/completions", key, body), timeout=_TOKEN_S):
            return False
    except urllib.error.HTTPError as error:
        with error:
            said = error_said(error.read(_MOST_BODY))
        unknown = said is not None and _UNKNOWN_MODEL.search(said.message) is not None
        return error.code == 404 or (error.code in (400, 422) and unknown)
    except (OSError, http.client.HTTPException, ValueError):
        return False


def _opener() -> urllib.request.OpenerDirector:
    # Addresses come from the user's own registry and begin with http; a proxy would answer for a dead server.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _request(url: str, key: str, body: bytes | None = None) -> urllib.request.Request:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    return urllib.request.Request(url, data=body, headers=headers)
