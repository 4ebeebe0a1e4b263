"""Which file systems share no memory between machines, as the kernel's list of mounts names them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maestro_eval.files import network_file_system


@pytest.mark.parametrize("kind", ["nfs4", "lustre", "cifs", "fuse.sshfs", "ext4", "fuseblk", "tmpfs"])
def test_a_network_file_system_is_named_and_a_local_one_is_not(tmp_path: Path, kind: str) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:1 / / rw shared:1 - nfs elsewhere:/ rw\n"
        f"30 22 {os.major(device)}:{os.minor(device)} / /runs rw,relatime shared:7 master:2 - {kind} server:/x rw\n"
    )
    assert network_file_system(tmp_path, mounts) == (kind if kind in ("nfs4", "lustre", "cifs", "fuse.sshfs") else "")


def test_without_a_list_of_mounts_nothing_is_said(tmp_path: Path) -> None:
    assert network_file_system(tmp_path, tmp_path / "none") == ""
