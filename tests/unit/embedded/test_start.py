"""What is decided before a process is started, and what is said when it does not come up."""

import sys

import pytest
from patience import PATIENCE_S

from maestro_eval.embedded import start
from maestro_eval.records import UserError


def stand_in(monkeypatch, folder, code: str) -> None:
    """Another module in the embedded server's place."""
    (folder / "stand_in_server.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(start, "_MODULE", "stand_in_server")
    monkeypatch.setattr(start, "_NEEDS", ())


def test_missing_packages_are_named_with_the_extra_that_brings_them(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "_NEEDS", ("cv2_that_is_missing",))
    with (
        pytest.raises(UserError, match=r"need cv2_that_is_missing; pip install 'maestro-eval\[embedded\]'"),
        start.served(tmp_path / "embedded.log"),
    ):
        pytest.fail("served without its packages")


def test_a_server_that_ends_at_once_is_told_with_its_code_and_log(tmp_path, monkeypatch):
    stand_in(monkeypatch, tmp_path, "import sys; print('why it failed', file=sys.stderr); sys.exit(3)")
    with (
        pytest.raises(UserError, match=r"ended with code 3 before serving; see .*embedded\.log"),
        start.served(tmp_path / "logs" / "embedded.log"),
    ):
        pytest.fail("served nevertheless")
    assert (tmp_path / "logs" / "embedded.log").read_text() == "why it failed\n"


def test_a_server_that_never_listens_is_given_up(tmp_path, monkeypatch):
    stand_in(monkeypatch, tmp_path, "import sys; print('loading', flush=True); sys.stdin.read()")
    monkeypatch.setattr(start, "_READY_S", 0.5)
    with (
        pytest.raises(UserError, match=r"did not serve within 0\.5 s; see "),
        start.served(tmp_path / "logs" / "embedded.log"),
    ):
        pytest.fail("served nevertheless")


def test_other_lines_before_the_address_do_no_harm(tmp_path, monkeypatch):
    code = "import sys; print('hello\\n\\nlistening http://127.0.0.1:5/v1', flush=True); sys.stdin.read()"
    stand_in(monkeypatch, tmp_path, code)
    monkeypatch.setattr(start, "_READY_S", PATIENCE_S)
    with start.served(tmp_path / "logs" / "embedded.log") as served:
        assert served == "http://127.0.0.1:5/v1"


def test_a_log_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    stand_in(monkeypatch, tmp_path, "")
    (tmp_path / "logs").write_text("in the way")
    with (
        pytest.raises(UserError, match=r"logs/embedded\.log: cannot be written"),
        start.served(tmp_path / "logs" / "embedded.log"),
    ):
        pytest.fail("served nevertheless")


def test_the_checkout_comes_first_on_the_servers_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    first, second = start._environment()["PYTHONPATH"].split(":")
    assert (second, sys.modules["maestro_eval"].__file__) == ("/somewhere", f"{first}/maestro_eval/__init__.py")
