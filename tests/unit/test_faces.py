"""A room imports of another only what a package of it shows in its ``__init__``; what still does not is listed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "maestro_eval"
LEFT = {
    line.split()[0]: set(line.split()[1:])
    for line in """
    __main__.py cli.main
    analysis/routing/build.py policies.baselines
    cli/reproduce.py analysis.reproduce
    policies/vllm_engine.py models.server_errors
    registry/prompt.py text.templates
    report/accuracy.py scoring.model_judge
    report/differences.py analysis.oracle analysis.scored_run
    report/findings.py analysis.comparison analysis.oracle analysis.scored_run scoring.model_judge
    report/reproduction.py analysis.reference analysis.reproduce
    rollout/grammar.py records.regime
    rollout/regimes.py text.clip
    runtime/model_judge.py scoring.model_judge
    view/registry_page.py analysis.swap.settings
    view/rollout_page.py analysis.scored_run
    """.strip().splitlines()
}


def past_a_face(file: Path) -> Iterator[str]:
    """The modules of other rooms that a file imports from, where these are no packages."""
    room = file.relative_to(PACKAGE).parts[0]
    for node in ast.walk(ast.parse(file.read_text())):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for package, _, path in (module.partition(".") for module in modules):
            inside = PACKAGE.joinpath(*path.split("."))
            elsewhere = package == "maestro_eval" and path.partition(".")[0] != room
            if elsewhere and inside.parent != PACKAGE and not inside.is_dir():
                yield path


def test_no_room_imports_past_anothers_face() -> None:
    modules = {str(file.relative_to(PACKAGE)): set(past_a_face(file)) for file in PACKAGE.rglob("*.py")}
    new = {name: found - LEFT.get(name, set()) for name, found in modules.items() if found - LEFT.get(name, set())}
    assert new == {}, "import it from the room, and let the room's __init__ show it"
