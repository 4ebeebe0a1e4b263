"""A world of the bundled augmented registry in which one simulated server plays everybody."""

from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import pytest

from maestro_eval.models import ExpertClient
from maestro_eval.registry import Registry, load_registry
from maestro_eval.testing import SimulatedServer
from tests.unit.skills.skill_worlds import Cast, World, bound


@cache
def _augmented() -> Registry:
    return load_registry("augmented")


@pytest.fixture
def augmented():
    @asynccontextmanager
    async def opened(default: str = "Answer: 7", server: dict[str, Any] | None = None, **replies: Any):
        cast = Cast(default)
        for service, reply in replies.items():
            entry = _augmented().services.get(service)
            cast.plays(entry.model if entry else "Intern-S1-mini", reply)
        async with SimulatedServer(reply=cast, **(server or {})) as up, ExpertClient() as client:
            yield World(bound(_augmented(), up.url), client, up, cast)

    return opened
