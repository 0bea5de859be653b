"""Images without a registry: a file says what each name stands for.

    {"dragoman:test": {"root": "/images/dragoman", "entrypoint": ["/dragoman"]},
     "sdk:test": {"root": "/", "entrypoint": ["/venv/bin/python"], "command": ["agent.py"], "user": 1000}}

`root` is a directory that becomes the container's root, under a layer of its own; `open` names directories in it that anyone
may enter, although on this machine only root may; the rest is as in an OCI image. The file is read at each start of a
container, so that an image may be added or replaced at any time.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path


class NoImage(Exception):
    """Nobody knows that image."""


@dataclass(frozen=True)
class Image:
    """What an image name stands for."""

    root: str
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    user: int = 0
    directory: str = '/'
    open: list[str] = field(default_factory=list)


def find(images: Path, name: str) -> Image:
    """The image of that name; raises NoImage."""
    known = json.loads(images.read_text())
    if name not in known:
        raise NoImage(f'{name}: no such image (there are: {", ".join(sorted(known))})')
    return Image(**known[name])
