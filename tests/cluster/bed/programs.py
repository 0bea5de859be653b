"""Programs that run beside the test, and commands that it waits for."""

import subprocess
from pathlib import Path
from typing import Any

CLUSTER = Path(__file__).parent.parent


class CommandFailed(Exception):
    """A command that had to succeed has not."""


def run(*command: str | Path, given: str | None = None, seconds: float = 60, env: dict[str, str] | None = None) -> str:
    """What a command says on stdout; raises CommandFailed with what it says on stderr."""
    line = ' '.join(map(str, command))
    try:
        done = subprocess.run(
            list(map(str, command)), input=given, text=True, capture_output=True, timeout=seconds, check=False, env=env
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f'{line}: not after {seconds:g} s') from error
    if done.returncode != 0:
        raise CommandFailed(f'{line}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()}')
    return done.stdout


def start(log: Path, *command: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen[Any]:
    """A program that goes on; what it says is in `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('ab') as out:
        return subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, start_new_session=True
        )
