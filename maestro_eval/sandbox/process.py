"""The weaker isolation, for machines without bubblewrap: a plain child process under resource limits."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from maestro_eval.sandbox.launch import Launch, limited_python, ordinary_user
from maestro_eval.sandbox.records import Limits

PROCESS_PROMISES = (
    "--sandbox=process is no isolation. Generated code runs under limits on time, memory, file size and output, "
    "with an empty environment and in a temporary folder, but it reaches the network, reads every file that its "
    "user may read (yours, unless you are root), may signal that user's processes, and may leave a process of "
    "its own behind. Use it only for code that you would run yourself, or inside a container that holds "
    "nothing of worth."
)


def in_process(code: bytes, limits: Limits, stack: ExitStack) -> Launch:
    """A launch of ``code`` in a fresh temporary folder, which goes with ``stack``."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maestro-", ignore_cleanup_errors=True)))
    program = folder / "main.py"
    program.write_bytes(code)
    user = ordinary_user()
    if user is not None:
        shutil.chown(folder, user, user)
        program.chmod(0o644)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}
    # By its bare name: the user may not be allowed to walk the folders above.
    command = limited_python(limits, program.name)
    return Launch(command, cwd=os.fspath(folder), environment=environment, user=user)
