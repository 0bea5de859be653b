"""A directory whose files change all at once, laid out as a kubelet's AtomicWriter does:

    name -> ..data/name      ..data -> ..2026_11_22_19_40_00.1      ..2026_11_22_19_40_00.1/name

A reader that holds `..data` sees one state; a new state is another directory, and `..data` is renamed over.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class File:
    """The content of a file, and who may read it."""

    content: bytes
    mode: int = 0o644


class AtomicDirectory:
    """Writes states into one directory."""

    def __init__(self, path: Path, owner: int | None = None, group: int | None = None):
        self._path, self._owner, self._group = path, owner, group
        self._state: dict[str, File] | None = None
        self._count = 0
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755 if group is None else 0o2775)

    def write(self, files: dict[str, File]) -> bool:
        """Makes these files, by relative path, all that is there; whether anything changed."""
        if files == self._state:
            return False
        self._count += 1
        fresh = self._path / time.strftime(f'..%Y_%m_%d_%H_%M_%S.{self._count}', time.gmtime())
        for name, file in files.items():
            self._put(fresh / name, file)
        fresh.mkdir(exist_ok=True)
        fresh.chmod(0o755)
        data, beside = self._path / '..data', self._path / '..data_tmp'
        previous = os.readlink(data) if data.is_symlink() else None
        beside.symlink_to(fresh.name)
        beside.rename(data)
        self._link(files)
        if previous is not None:
            shutil.rmtree(self._path / previous)
        self._state = dict(files)
        return True

    def _put(self, path: Path, file: File) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        mode = file.mode
        if self._group is not None:
            mode |= 0o440
        if self._owner is not None or self._group is not None:
            os.chown(path, -1 if self._owner is None else self._owner, -1 if self._group is None else self._group)
        path.chmod(mode)

    def _link(self, files: dict[str, File]) -> None:
        wanted = {name.split('/', 1)[0] for name in files}
        for entry in self._path.iterdir():
            if not entry.name.startswith('..') and entry.name not in wanted:
                entry.unlink()
        for name in wanted:
            link = self._path / name
            if not link.is_symlink():
                link.symlink_to(f'..data/{name}')
