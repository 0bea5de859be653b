"""Reads targets from standard input, a JSON object on each line, and prints what each operation gave, likewise."""

import asyncio
import json
import sys

from operations import OPERATIONS
from speaker import Speaker
from words import Target, Unsupported


def main(kind: type[Speaker], operations: dict = OPERATIONS) -> None:
    """Serves until standard input ends; a client that is no plain SDK brings operations of its own."""
    asyncio.run(serve(kind, operations))


async def serve(kind: type[Speaker], operations: dict) -> None:
    """One target after the other."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        if not line.strip():
            continue
        wish = json.loads(line)
        only = wish.get('only')
        chosen = {name: run for name, run in operations.items() if only is None or wanted(name, only)}
        target = Target(wish['base'], wish['binding'], wish['dialect'], wish.get('seconds', 15))
        await visit(kind(target), chosen)
        say(done=True)


def wanted(name: str, only: list[str]) -> bool:
    """Whether an operation is named, itself or by the part before its slash."""
    return any(name == one or name.startswith(f'{one}/') for one in only)


async def visit(speaker: Speaker, chosen: dict) -> None:
    """All chosen operations against one target; a client that cannot even be made fails them all."""
    seconds = speaker.target.seconds
    _, unmade = await attempt(speaker.open(), seconds)
    for name, run in chosen.items():
        result, why = ('fail', unmade) if unmade else await attempt(run(speaker), seconds)
        say(operation=name, result=result, why=why)
    await attempt(speaker.close(), seconds)


async def attempt(action, seconds: float) -> tuple[str, str]:
    """The result of one action, and a line about it."""
    try:
        async with asyncio.timeout(seconds):
            return 'pass', await action or ''
    except Unsupported as gap:
        return 'unsupported', line(str(gap))
    except TimeoutError:
        return 'fail', f'not finished after {seconds} s'
    except Exception as error:  # whatever it is, it is the result
        inner = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
        name = '' if isinstance(inner, AssertionError) else f'{type(inner).__name__}: '
        return 'fail', line(f'{name}{inner}')


def line(text: str) -> str:
    """One line, not too long."""
    short = ' '.join(text.split())
    return short if len(short) <= 1500 else f'{short[:1500]}…'


def say(**what) -> None:
    """One line of output."""
    print(json.dumps(what, ensure_ascii=False), flush=True)
