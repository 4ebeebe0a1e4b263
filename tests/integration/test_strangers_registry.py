"""A registry from a stranger: what it may read, which keys it may send, whose code it may have run. Real servers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from integration.conftest import Cli, command, environment, write_chartqa, write_registry

from maestro_eval.records import UserError
from maestro_eval.registry import load_registry
from maestro_eval.testing import SimulatedServer, simulated_in_thread

SECRET = "sk-of-somebody-0123"


def run(cli: Cli, folder: Path, *more: str, policy: str = "direct:oracle") -> subprocess.CompletedProcess[str]:
    data = write_chartqa(folder / "d", [{"question": "Item?", "answer": "4"}])
    return cli(
        "run", "--policy", policy, "--registry", folder / "r.yaml", "--tasks", "maestro_chartqa", "--out", "out",
        "--data", f"maestro_chartqa={data}", "--quiet", *more,
    )  # fmt: skip


def with_key(folder: Path, url: str) -> Path:
    path = write_registry(folder / "r.yaml", url)
    path.write_text(path.read_text().replace("max_tries", "api_key_env: SOMEBODYS_TOKEN, max_tries"))
    return path


@pytest.fixture
def server() -> SimulatedServer:
    with simulated_in_thread(reply="Answer: 4") as server:
        yield server


# Keys


def test_a_key_goes_nowhere_before_the_user_allows_it(
    cli: Cli, tmp_path: Path, server: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEBODYS_TOKEN", SECRET)
    with_key(tmp_path, server.url)
    refused = run(cli, tmp_path)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert f"r.yaml:4: endpoints.there.api_key_env: sends $SOMEBODYS_TOKEN to {server.url}" in refused.stderr
    assert "--allow-key-env SOMEBODYS_TOKEN" in refused.stderr
    assert not server.requests
    assert SECRET not in refused.stderr

    assert run(cli, tmp_path, "--allow-key-env", "ANOTHER").returncode == 2
    assert run(cli, tmp_path, "--allow-key-env", "SOMEBODYS_TOKEN").returncode == 0
    assert len(server.requests) == 1
    assert SECRET not in "".join(path.read_text() for path in (tmp_path / "out").rglob("*.json"))


def test_a_user_may_allow_a_key_for_good(
    cli: Cli, tmp_path: Path, server: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEBODYS_TOKEN", SECRET)
    monkeypatch.setenv("MAESTRO_ALLOW_KEY_ENV", "ANOTHER, SOMEBODYS_TOKEN")
    with_key(tmp_path, server.url)
    assert run(cli, tmp_path).returncode == 0


def test_an_endpoint_of_ours_that_a_stranger_readdresses_is_a_strangers(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "r.yaml").write_text(
        "schema: 1\nname: mine\nextends: base\n"
        "endpoints:\n  caption: {url: 'http://127.0.0.1:9/v1', api_key_env: OPENAI_API_KEY}\n"
    )
    refused = run(cli, tmp_path, policy="random")
    assert refused.returncode == 2
    assert "r.yaml:5: endpoints.caption.api_key_env: sends $OPENAI_API_KEY to http://127.0.0.1:9/v1" in refused.stderr


@pytest.mark.parametrize("address", ["{}?api_key=" + SECRET, "http://user:" + SECRET + "@127.0.0.1:9/v1"])
def test_a_key_in_the_policys_address_is_refused_and_written_nowhere(
    cli: Cli, tmp_path: Path, server: SimulatedServer, address: str
) -> None:
    write_registry(tmp_path / "r.yaml", server.url)
    refused = run(cli, tmp_path, policy=f"openai:{address.format(server.url)}")
    assert refused.returncode == 2
    assert "--policy-key-env" in refused.stderr
    assert SECRET not in refused.stderr
    assert not (tmp_path / "out").exists()
    assert not server.requests


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (SECRET, "--policy-key-env: expected the name of the variable that holds the key, not the key"),
        ("NO_SUCH_KEY", "--policy-key-env NO_SUCH_KEY: $NO_SUCH_KEY is not set; export NO_SUCH_KEY=…"),
    ],
)
def test_a_policy_key_is_a_variable_that_is_set(
    cli: Cli, tmp_path: Path, server: SimulatedServer, given: str, said: str
) -> None:
    write_registry(tmp_path / "r.yaml", server.url)
    refused = run(cli, tmp_path, "--policy-key-env", given, policy=f"openai:{server.url}#some")
    assert (refused.returncode, refused.stderr) == (2, f"maestro-eval: {said}\n")
    assert not (tmp_path / "out" / "journal.db").exists()
    assert not server.requests


# Files


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.j2", "link.j2", "prompts/../../secret.j2", "linked/s.j2"])
def test_a_template_outside_of_the_registrys_folder_is_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.j2").write_text("the secret {{ request }}")
    folder = tmp_path / "theirs"
    (folder / "prompts").mkdir(parents=True)
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "s.j2").write_text("the secret {{ request }}")
    (folder / "link.j2").symlink_to(tmp_path / "secret.j2")
    (folder / "linked").symlink_to(tmp_path / "away")
    path = write_registry(folder / "r.yaml", "http://127.0.0.1:9/v1")
    path.write_text(path.read_text().replace("prompts/plain.j2", name))
    with pytest.raises(UserError, match=rf"r.yaml:8: skills.Ask.prompt: '{name}' leads out of .*; put the template"):
        load_registry(path)


def test_templates_below_the_registry_and_the_bundled_ones_are_found(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "ask.j2").write_text("Mine: {{ request }}")
    (tmp_path / "alias.j2").symlink_to("mine/ask.j2")
    path = write_registry(tmp_path / "r.yaml", "http://127.0.0.1:9/v1")
    written = path.read_text()
    for name, text in (("mine/ask.j2", "Mine: "), ("alias.j2", "Mine: "), ("prompts/plain.j2", "")):
        path.write_text(written.replace("prompts/plain.j2", name))
        assert text in load_registry(path).skills["Ask"].prompt


# Code


def test_a_python_file_beside_a_registry_is_not_run_for_being_there(process: Cli, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text("open('ran', 'w')\n\nasync def pipeline(context): return 'x'\n")
    path = write_registry(tmp_path / "r.yaml", "http://127.0.0.1:9/v1")
    path.write_text(path.read_text().replace("prompt: prompts/plain.j2", "pipeline: 'theirs:pipeline'"))
    refused = process("registry", "check", path)  # `python -m` in that folder
    assert refused.returncode == 2
    assert "r.yaml:8: skills.Ask.pipeline: pipeline 'theirs:pipeline': is in the working folder" in refused.stderr
    assert f"PYTHONPATH={tmp_path}" in refused.stderr
    assert not (tmp_path / "ran").exists()
    named = {**environment(), "PYTHONPATH": os.pathsep.join((environment()["PYTHONPATH"], str(tmp_path)))}
    checked = subprocess.run(command("registry", "check", path), cwd=tmp_path, env=named, check=False)
    assert checked.returncode == 0
    assert (tmp_path / "ran").exists()
