"""Everything, in order; see `run`."""

import argparse
import sys
from pathlib import Path

from bed.checks import CheckFailed, note, step
from bed.programs import CommandFailed

from scenario import begin, change, finish, talk
from scenario.packing import images
from scenario.world import Calls

LINES = 40  # of each log that are shown after a failure


def options() -> argparse.Namespace:
    """What `run` says."""
    parser = argparse.ArgumentParser(prog='scenario')
    for name in ('tools', 'binaries', 'interop', 'directory'):
        parser.add_argument(f'--{name}', type=Path, required=True)
    return parser.parse_args()


def show_logs(directory: Path) -> None:
    """The end of every log, the most telling last."""
    logs = [*directory.glob('*/control/kube-*'), *directory.glob('*/*.log'), *directory.glob('*/node/logs/*.log')]
    for log in logs:
        lines = log.read_text(errors='replace').splitlines()[-LINES:]
        if lines:
            print(f'\n--- {log.relative_to(directory)}\n' + '\n'.join(line[:600] for line in lines))


def scenario(said: argparse.Namespace) -> None:
    """From nothing to nothing."""
    described = images(said.binaries, said.interop, said.directory)
    caller = [str(said.interop / 'python-1.x/venv/bin/python'), str(Path(__file__).parent.parent / 'agents/caller.py')]
    east, west = begin.clusters(said.tools, described, said.directory)
    begin.install((east, west))
    begin.federate(east, west)
    begin.example(east)
    begin.agents(east, west)
    talk.denied(east, west)
    talk.allowed(east, west)
    talk.calls(east, caller)
    talk.peer_seen(west)
    talk.known(east, west, said.interop / 'dns-aid/venv/bin/dns-aid')
    calls = Calls(east, east.pod('app=planner'), caller, 'currency.travel.west', said.directory / 'calls.log')
    change.scaled(west, calls)
    change.root_replaced(east, west, calls)
    change.webhook_renewed(west)
    change.controller_replaced(west, calls)
    change.sidecars_replaced(west, calls)
    finish.by_its_own_chart(east, caller, said.directory)
    finish.job(east)
    finish.uninstall(east, west, calls)
    step('all of it holds')
    for side in (east, west):
        side.mesh.down()


if __name__ == '__main__':
    arguments = options()
    try:
        scenario(arguments)
    except (CheckFailed, CommandFailed) as error:
        show_logs(arguments.directory)
        print(f'\n  FAIL  {error}', flush=True)
        note(f'logs are in {arguments.directory}')
        sys.exit(1)
