"""A small disk of our own that can be full, where the machine lets us mount one."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path


class Unavailable(Exception):  # noqa: N818 - what happened, as a user would say it
    """This machine does not allow the fault; the text says why."""


class Disk:
    """A file system in memory; leaving it takes it away.

    Args:
        megabytes: Its size.

    Raises:
        Unavailable: By ``__enter__``: nothing may be mounted here.
    """

    def __init__(self, megabytes: int) -> None:
        self._size = f"size={megabytes}m"
        self.path = Path(tempfile.mkdtemp(prefix="chaos-disk-"))

    def __enter__(self) -> Disk:
        command = ["mount", "-t", "tmpfs", "-o", self._size, "tmpfs", str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            self.path.rmdir()
            raise Unavailable(f"no disk of our own can be mounted here: {done.stderr.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)
        self.path.rmdir()

    def fill(self) -> None:
        """Not a byte is left."""
        with self._filler.open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(65_536)):
                    pass
            except OSError:  # full
                return

    def free(self) -> None:
        """There is room again."""
        self._filler.unlink(missing_ok=True)

    @property
    def _filler(self) -> Path:
        return self.path / "filler"
