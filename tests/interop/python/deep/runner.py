"""Runs every scenario directly and through sidecars, says how each went, and ends with a count."""

import argparse
import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc_client
from a2a.types.a2a_pb2 import AgentInterface

from harness import GRPC, JSONRPC, MTLS, REST, SERVED, Target, card_by_hand, chosen, verdict
from mesh import NAMESPACE, Mesh, MeshError
from words import PEER

HERE = Path(__file__).parent
for name in ('scenarios', 'scenarios_task', 'scenarios_errors', 'scenarios_beside', 'scenarios_wire'):
    importlib.import_module(name)  # each adds its scenarios to the list


class Agent:
    """The agent under test, as a process of its own."""

    def __init__(self, logs: Path):
        self._log = logs / 'agent.log'
        with self._log.open('w') as log:
            command = [sys.executable, str(HERE / 'agent.py')]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f'the agent did not start:\n{self._log.read_text()}')
        addresses = json.loads(line)
        self.http, self.grpc = addresses['http'], addresses['grpc']

    def stop(self) -> None:
        """Ends this process and waits for it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Tally:
    """Counts and prints."""

    def __init__(self):
        self.passed = self.failed = 0

    def ok(self, name: str) -> None:
        self.passed += 1
        print(f'ok {name}', flush=True)

    def enter(self, name: str, why: str | None) -> None:
        """One more, which failed if there is a reason."""
        self.ok(name) if why is None else self.fail(name, why)

    def fail(self, name: str, why: str) -> None:
        self.failed += 1
        print(f'FAIL {name}: {why}', flush=True)


async def run_binding(binding: str, options, agent: Agent, mesh: Mesh | None, tally: Tally) -> None:
    """All scenarios of one binding; through sidecars too where there are any."""
    for one in chosen(binding, options.only):
        name = f'{binding}/{one.name}'
        if not one.meshed_only and binding != MTLS:
            why = await verdict(one, Target(agent.http, agent.http, binding))
            if why is not None and one.direct_fails is not None:
                print(f'direct-fail {name}: as known: {one.direct_fails}', flush=True)
            elif why is not None:
                print(f'direct-fail {name}: {why}', flush=True)
                tally.fail(name, 'it fails without sidecars too')
                continue
            elif mesh is None:
                tally.ok(name)
        if mesh is not None:
            tally.enter(name, await verdict(one, meshed(binding, agent, mesh, options.card_by_hand)))


def meshed(binding: str, agent: Agent, mesh: Mesh, by_hand: bool) -> Target:
    """The agent as it is reached through the mesh."""
    if binding == MTLS:
        return grpc_client.target(mesh, agent.http)
    base = mesh.base(PEER)
    card = card_by_hand(
        AgentInterface(url=base, protocol_binding='JSONRPC', protocol_version='1.0'),
        AgentInterface(url=base, protocol_binding='HTTP+JSON', protocol_version='1.0'),
        AgentInterface(url=mesh.caller['outbound'], protocol_binding='GRPC', protocol_version='1.0', tenant=f'{PEER}.{NAMESPACE}'),
    )
    return Target(base, agent.http, binding, card if by_hand else None)


async def run(options, logs: Path) -> int:
    """Starts what is needed, runs, and stops it all again; the exit code."""
    tally = Tally()
    agent = Agent(logs)
    mesh = None
    try:
        if not options.direct:
            mesh = Mesh(options.dragoman, [{'name': PEER, 'url': agent.http}], logs)
            print(f'agent {agent.http}, caller {mesh.caller}, peer {mesh.peer}', flush=True)
        for binding in options.bindings:
            if binding != MTLS or mesh is not None:
                await run_binding(binding, options, agent, mesh, tally)
    except MeshError as error:
        tally.fail('mesh', str(error))
    finally:
        if mesh is not None:
            mesh.stop()
        agent.stop()
    if tally.failed or options.logs:
        for log in sorted(logs.glob('*.log')):
            print(f'---- {log.name} (last 60 lines of {log})')
            print('\n'.join(log.read_text(errors='replace').splitlines()[-60:]))
    print(f'{tally.passed} passed, {tally.failed} failed')
    return 1 if tally.failed or not tally.passed else 0


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog='run', description=__doc__)
    parser.add_argument('--direct', action='store_true', help='no sidecars: does the test bed itself hold?')
    parser.add_argument('--only', default='*', metavar='PATTERN', help='only these, such as "grpc/*push*"')
    parser.add_argument(
        '--bindings',
        nargs='+',
        choices=(JSONRPC, REST, GRPC, MTLS),
        default=SERVED,
        help=f'what the client speaks; unless told, what sidecars serve today: {" ".join(SERVED)}',
    )
    parser.add_argument('--card-by-hand', action='store_true', help='clients fetch no card from the sidecar')
    parser.add_argument('--logs', action='store_true', help='print the logs in any case')
    parser.add_argument('--work', required=True, type=Path, help='where certificates, configs and logs go')
    options = parser.parse_args()
    options.dragoman = os.environ.get('DRAGOMAN', '')
    logs = options.work / 'logs'
    logs.mkdir(parents=True, exist_ok=True)
    for old in logs.glob('*.log'):
        old.unlink()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    return asyncio.run(run(options, logs))


if __name__ == '__main__':
    sys.exit(main())
