"""Running a server as an unprivileged user when the tests run as root, which PostgreSQL refuses."""

import os
import pwd
import stat
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """A user and its group, by number."""

    uid: int
    gid: int

    @classmethod
    def unprivileged(cls) -> "Account | None":
        """The account `nobody` when we are root; None when we are not and can stay who we are."""
        if os.geteuid() != 0:
            return None
        entry = pwd.getpwnam("nobody")
        return cls(entry.pw_uid, entry.pw_gid)

    def command(self, command: Sequence[str]) -> list[str]:
        """The command that runs a command as this account, without our groups.

        With `subprocess`' own `user` a process would be forked before the command runs, and the handlers that a library
        such as gRPC has for forks would run in it.
        """
        switch = "import os, sys; os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[1])); "
        switch += "os.execv(sys.argv[3], sys.argv[3:])"
        return [sys.executable, "-I", "-S", "-c", switch, str(self.uid), str(self.gid), *command]

    def can_reach(self, path: Path) -> bool:
        """Whether the account may enter every folder on the way to ``path``, and the path itself."""
        ways = {path.absolute(), path.resolve()}  # a link and what it points to have their own parents
        return all(self._may_enter(folder) for way in ways for folder in (way, *way.parents))

    def _may_enter(self, path: Path) -> bool:
        info = path.stat()
        if info.st_uid == self.uid:
            return bool(info.st_mode & stat.S_IXUSR)
        if info.st_gid == self.gid:
            return bool(info.st_mode & stat.S_IXGRP)
        return bool(info.st_mode & stat.S_IXOTH)


def private_folder(prefix: str, account: Account | None) -> Path:
    """A new temporary folder that belongs to the account (ours when None) and that it can reach.

    Raises:
        RuntimeError: No temporary folder of this machine can be reached by the account.
    """
    if account is None:
        return Path(tempfile.mkdtemp(prefix=prefix))
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if parent.is_dir() and account.can_reach(parent):
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            os.chown(folder, account.uid, account.gid)
            return folder
    raise RuntimeError(f"user {account.uid} can reach none of {tempfile.gettempdir()}, /tmp, /var/tmp; set TMPDIR")
