"""Steps and checks: each says what holds, and the first that does not ends the run."""

import time
from collections.abc import Callable
from typing import Any

from bed.programs import CommandFailed

BEGAN = time.monotonic()


class CheckFailed(Exception):
    """Something does not hold."""


def step(title: str) -> None:
    """Says what comes now."""
    print(f'\n{title}  ({time.monotonic() - BEGAN:.0f} s)', flush=True)


def holds(what: str) -> None:
    """Says what holds."""
    print(f'  ok    {what}', flush=True)


def note(what: str) -> None:
    """Says something that is worth to know, and no check."""
    print(f'        {what}', flush=True)


def equal(what: str, found: Any, expected: Any) -> None:
    """The one is the other."""
    if found != expected:
        raise CheckFailed(f'{what}: expected {expected!r}, found {found!r}')
    holds(what)


def true(what: str, verdict: Any, found: Any = '') -> None:
    """Something is so; `found` tells more if not."""
    if not verdict:
        raise CheckFailed(f'{what}: {found!r}')
    holds(what)


def eventually(what: str, ask: Callable[[], Any], is_so: Callable[[Any], Any] = bool, seconds: float = 30) -> Any:
    """What `ask` gives as soon as it is so; errors of commands and of the network count as "not yet"."""
    end, found = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            found = ask()
            if is_so(found):
                holds(what)
                return found
        except (CommandFailed, OSError, LookupError, ValueError) as error:
            found = error
        time.sleep(0.1)
    raise CheckFailed(f'{what}: not after {seconds:g} s: {found}')


def never_fails(what: str, ask: Callable[[], Any], seconds: float) -> None:
    """`ask` is true all the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not (found := ask()):
            raise CheckFailed(f'{what}: {found!r}')
        time.sleep(0.1)
    holds(what)
