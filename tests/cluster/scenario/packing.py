"""Images: a directory with a program and the libraries that it needs and nothing else, and SDK agents in their virtual
environments."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from bed.programs import CLUSTER, run

INTEROP = CLUSTER.parent / 'interop/python'
USER = 1000  # of the agents' images


def from_scratch(program: Path, root: Path) -> dict[str, Any]:
    """A program at the top of a root with what it is linked to and nothing else, as in its image from scratch."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    shutil.copy2(program, root / program.name)
    for library in re.findall(r'(/\S+) \(0x', run('ldd', program)):
        target = root / library.lstrip('/')
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library, target)
    return {'root': str(root), 'entrypoint': [f'/{program.name}'], 'user': 2602}


def closed(path: Path) -> set[str]:
    """The directories on the way to a path that only their owner may enter."""
    return {str(each) for each in path.resolve().parents if not each.stat().st_mode & 0o001}


def sdk(venv: Path, peer: str, program: str) -> dict[str, Any]:
    """An agent or caller on an SDK: this machine's files, and the program of `agents/` in the virtual environment."""
    python = venv / 'bin/python'
    script = CLUSTER / 'agents' / program
    paths = [INTEROP / peer, INTEROP / 'lib']
    return {
        'root': '/',
        'entrypoint': [str(python), str(script)],
        'env': {
            'PYTHONPATH': os.pathsep.join(map(str, paths)),
            'PYTHONDONTWRITEBYTECODE': '1',
            'GRPC_VERBOSITY': 'NONE',
            'HOME': '/tmp',
        },
        'user': USER,
        'open': sorted(closed(python) | closed(venv / 'pyvenv.cfg') | closed(script)),
    }


def images(binaries: Path, interop: Path, directory: Path) -> Path:
    """The file that says what each image name stands for."""
    dragoman, controller = (
        from_scratch(binaries / name, directory / 'images' / name) for name in ('dragoman', 'dragoman-controller')
    )
    new, old = interop / 'python-1.x/venv', interop / 'python-0.3.x/venv'
    file = directory / 'images.json'
    file.write_text(
        json.dumps(
            {
                'dragoman:test': dragoman,
                'dragoman-controller:test': controller,
                # The same programs: what is tested is how one takes the place of the other.
                'dragoman:next': dragoman,
                'dragoman-controller:next': controller,
                'planner:1': sdk(new, '1.x', 'planner.py'),
                'currency:1': sdk(old, '0.3.x', 'currency.py'),
                # Of examples/two-agents.yaml, which says the program itself.
                'python:3.13-alpine': {'root': '/', 'user': 0},
                'caller:1': sdk(new, '1.x', 'caller.py'),
            },
            indent=1,
        )
    )
    return file
