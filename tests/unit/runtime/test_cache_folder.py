"""Where calls are kept on the machine that asks."""

import socket
from pathlib import Path

from maestro_eval.runtime.cache_folder import CacheSpec


def test_a_folder_of_every_machine_and_of_this_one_is_used_as_it_is():
    for host in ("", socket.gethostname()):
        assert CacheSpec("/runs/one/cache", host).on_this_machine() == Path("/runs/one/cache")


def test_another_machines_folder_has_a_private_one_here_for_each_run(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    one, two = (CacheSpec(f"/runs/{name}/cache", "elsewhere") for name in ("one", "two"))
    here = one.on_this_machine()
    assert here is not None
    assert here == one.on_this_machine() != two.on_this_machine()
    assert here.parent.parent == tmp_path
    assert here.parent.stat().st_mode & 0o077 == 0


def test_a_folder_that_somebody_else_could_have_made_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    spec = CacheSpec("/runs/one/cache", "elsewhere")
    made = spec.on_this_machine()
    assert made is not None
    made.parent.chmod(0o777)
    assert spec.on_this_machine() is None
    made.parent.rmdir()
    made.parent.symlink_to(tmp_path)
    assert spec.on_this_machine() is None
