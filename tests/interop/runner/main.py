"""Runs client lanes against agent lanes, first directly and then through two sidecars, and tells what came of it."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import plan
import traits
from judge import FAIL, Directly, judge
from mesh import Mesh, MeshError
from page import Cells, line, page, summary
from peers import OPERATIONS, Agent, Client, Lane, Peer, PeerError, discover
from recorder import Recorder


class Bed:
    """The agents and clients of a run, and the calls between them."""

    def __init__(self, options, logs: Path):
        self._options, self._logs = options, logs
        self._agents: dict[tuple[str, str], Agent] = {}
        self._clients: dict[str, Client] = {}
        self._recorders: list[Recorder] = []
        self._mesh: Mesh | None = None
        self._lock = threading.Lock()

    def start(self, pairs: list[plan.Pair]) -> None:
        """Starts what is missing for these pairs; the agents all at once, because some take long."""
        with self._lock:
            fresh = []
            for client, lane in pairs:
                key = (lane.peer.name, lane.dialect)
                if key not in self._agents:
                    self._agents[key] = Agent(lane.peer, lane.dialect, self._logs)
                    fresh.append(self._agents[key])
                if client.peer.name not in self._clients:
                    self._clients[client.peer.name] = Client(client.peer, self._options.seconds, self._logs)
            for agent in fresh:
                agent.wait()

    def weave(self, lanes: list[Lane]) -> None:
        """Starts the two sidecars; every lane is an agent of its own beside the peer's."""
        self._mesh = Mesh(self._options.dragoman, [self._described(lane) for lane in lanes], self._logs)

    def _described(self, lane: Lane) -> dict:
        """What the peer's sidecar is told about an agent."""
        agent = self._agents[lane.peer.name, lane.dialect]
        url = agent.url
        if self._options.record is not None and lane.binding != 'GRPC':
            recorder = Recorder(lane.name, url.removeprefix('http://'), self._options.record)
            self._recorders.append(recorder)
            url = f'http://{recorder.address}'
        if lane.binding == 'auto':
            return {'name': lane.name, 'url': url, 'binding': 'auto', 'dialect': 'auto'}
        known = {'name': lane.name, 'url': url, 'binding': lane.binding, 'dialect': lane.dialect}
        if lane.binding == 'GRPC':
            if agent.grpc is None:
                raise PeerError(f'{lane.name}: the agent says no gRPC address')
            known |= {'url': f'http://{agent.grpc}', 'card': url}
        return known

    def direct(self, client: Lane, agent: Lane, only: list[str] | None) -> dict:
        """A client lane calls an agent lane without sidecars."""
        url = self._agents[agent.peer.name, agent.dialect].url
        return self._clients[client.peer.name].call(client, url, only or self._options.operations)

    def meshed(self, client: Lane, agent: Lane, only: list[str] | None = None) -> dict:
        """A client lane calls an agent lane through the sidecars."""
        base = self._mesh.base(agent.name)
        return self._clients[client.peer.name].call(client, base, only or self._options.operations)

    def stop(self) -> None:
        """Ends all that was started here."""
        for client in self._clients.values():
            client.stop()
        if self._mesh is not None:
            self._mesh.stop()
        for other in (*self._recorders, *self._agents.values()):
            other.stop()


def each(pairs: list[plan.Pair], jobs: int, act) -> None:
    """Acts on every pair; pairs of one client line one after the other, several lines at a time."""
    lines: dict[str, list[plan.Pair]] = {}
    for pair in pairs:
        lines.setdefault(pair[0].peer.name, []).append(pair)
    over = threading.Event()

    def run(line: list[plan.Pair]) -> None:
        for pair in line:
            if over.is_set():
                return
            act(*pair)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            # The longest lines first, so that none is left over at the end.
            list(pool.map(run, sorted(lines.values(), key=len, reverse=True)))
        except BaseException:
            over.set()  # the others finish their pair and no more
            raise


class Direct:
    """The calls without sidecars, and what they tell."""

    def __init__(self, bed: Bed, peers: list[Peer], jobs: int):
        self._bed, self._peers, self._jobs = bed, peers, jobs
        self._traits = traits.load(Path(__file__).parent.parent / 'traits.json', peers)
        self.known = Directly()

    def learn(self, pairs: list[plan.Pair]) -> None:
        """Tries every lane of these pairs with its own SDK."""
        first = plan.trials(pairs, self._peers)
        self._bed.start(first)
        each(first, self._jobs, self._attempt)
        for (client, agent), results in self.known.trials.items():
            said = {result.result for result in results.values()}
            if 'pass' not in said and said & {'fail', 'broken'}:
                raise PeerError(f'{client.name} can do nothing with {agent.name} directly: one of them is broken')

    def judge(self, client: Lane, agent: Lane, results: dict) -> dict:
        """The cells of a pair; what fails is first confronted with direct calls until one explains it."""
        for one in plan.confrontations(client, agent, self._peers):
            self._confront((one.client, one.agent), self._failing(client, agent, results))
        for trait in self._traits:
            failing = self._failing(client, agent, results) if trait.covers((client, agent)) else []
            if any(trait.asks(name, results[name].why) for name in failing):
                self._confront(trait.proof, trait.operations)
        return self.cells(client, agent, results)

    def cells(self, client: Lane, agent: Lane, results: dict) -> dict:
        """The cells of a pair by what is known now."""
        confrontations = plan.confrontations(client, agent, self._peers)
        covering = [trait for trait in self._traits if trait.covers((client, agent))]
        return {
            name: judge((client, agent), name, result, self.known, confrontations, covering)
            for name, result in results.items()
        }

    def _failing(self, client: Lane, agent: Lane, results: dict) -> list[str]:
        cells = self.cells(client, agent, results)
        return [name for name, cell in cells.items() if cell.verdict == FAIL and results[name].result == 'fail']

    def _confront(self, pair: plan.Pair, failing: list[str]) -> None:
        unknown = self.known.unknown(*pair, failing)
        if unknown:
            self._bed.start([pair])
            self._attempt(*pair, unknown)

    def _attempt(self, client: Lane, agent: Lane, only: list[str] | None = None) -> None:
        results = self._bed.direct(client, agent, only)
        failed = {name: result for name, result in results.items() if result.result in ('fail', 'broken')}
        reasons = ''.join(f'\n    {name}: {result.why}' for name, result in failed.items())
        tried = '' if only is None else f' of {len(only)} in doubt'
        print(f'direct {client.name} -> {agent.name}: {len(failed)}{tried} fail{reasons}', flush=True)
        self.known.learn(client, agent, results)


def set_up(peers: list[Peer]) -> None:
    """Installs and builds the peers; tells of all that is missing on this machine, not only of the first."""
    faults = []
    for peer in peers:
        print(f'setup {peer.name} ({peer.sdk} {peer.version})', flush=True)
        try:
            peer.set_up()
        except PeerError as error:
            faults.append(str(error))
    if faults:
        raise PeerError('; '.join(faults))


def run(options, peers: list[Peer], logs: Path) -> int:
    """The whole run; the exit code."""
    everything = plan.every(peers)
    pairs = everything
    if options.only:
        pairs = plan.matching(everything, options.only)
    elif not options.full:
        pairs = plan.daily(everything)
    if not pairs:
        raise PeerError('no pair of lanes is chosen')
    bed = Bed(options, logs)
    cells: Cells = {}
    results: dict[plan.Pair, dict] = {}
    try:
        bed.start(pairs)
        direct = Direct(bed, peers, options.jobs)
        direct.learn(pairs)
        if options.direct:
            return 0
        bed.weave(list(dict.fromkeys(agent for _, agent in pairs)))

        def act(client: Lane, agent: Lane) -> None:
            results[client, agent] = bed.meshed(client, agent)
            row = cells[client, agent] = direct.judge(client, agent, results[client, agent])
            print(line((client, agent), row), flush=True)

        each(pairs, options.jobs, act)
        unsteady = again(bed, direct, results)
    finally:
        bed.stop()
    # What was learned later may change a verdict; and so the order in which things happened does not matter.
    early, cells = cells, {pair: direct.cells(*pair, results[pair]) for pair in pairs}
    for pair in pairs:
        if any(cells[pair][name].verdict != early[pair][name].verdict for name in cells[pair]):
            print(f'after all: {line(pair, cells[pair])}', flush=True)
    if options.write is not None:
        text = page(peers, cells, len(everything), version(options.dragoman), command(options))
        options.write.write_text(text)
    for told in unsteady:
        print(f'only when tried again, alone: {told}', flush=True)
    print(summary(cells))
    return 1 if any(cell.verdict == FAIL for row in cells.values() for cell in row.values()) else 0


def again(bed: Bed, direct: Direct, results: dict[plan.Pair, dict]) -> list[str]:
    """Tries what still fails once more, when nothing else runs: SDKs have races of their own. What passes now is told."""
    unsteady = []
    for (client, agent), said in results.items():
        cells = direct.cells(client, agent, said)
        failing = [name for name, cell in cells.items() if cell.verdict == FAIL and said[name].result == 'fail']
        for name, result in bed.meshed(client, agent, failing).items() if failing else ():
            if result.result == 'pass':
                unsteady.append(f'{client.name} -> {agent.name}: {name}, which said: {said[name].why}')
                said[name] = result
    return unsteady


def version(dragoman: str) -> str:
    """What the binary says it is."""
    done = subprocess.run([dragoman, '--version'], capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() or 'dragoman'


def command(options) -> str:
    """The command line that gives the same run, without paths of this machine."""
    words = ['tests/interop/run']
    words += ['--full'] if options.full else []
    words += ['--only', f"'{options.only}'"] if options.only else []
    words += ['--peers', *('/'.join(Path(name).parts[-2:]) for name in options.peers)] if options.peers else []
    words += ['--operations', *options.operations] if options.operations != list(OPERATIONS) else []
    return ' '.join(words)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog='run', description=__doc__)
    parser.add_argument('--full', action='store_true', help='every client lane with every agent lane')
    parser.add_argument('--only', metavar="'CLIENT -> AGENT'", help='the pairs whose lanes match, "py* -> js1-*-10"')
    parser.add_argument('--peers', nargs='+', metavar='PEER', help='js/1.x, python/0.3.x, or directories; else all')
    parser.add_argument('--operations', nargs='+', choices=OPERATIONS, default=list(OPERATIONS), metavar='NAME')
    parser.add_argument('--direct', action='store_true', help='no sidecars: what can each lane do by itself?')
    parser.add_argument('--write', type=Path, metavar='FILE', help='write the results as a page')
    parser.add_argument('--record', type=Path, metavar='DIR', help='keep what agents answer to the sidecar')
    parser.add_argument('--jobs', type=int, default=3, help='clients at a time')
    parser.add_argument('--seconds', type=float, default=10, help='how long one operation may take')
    parser.add_argument('--logs', action='store_true', help='print the end of the logs in any case')
    parser.add_argument('--work', required=True, type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Sets up and runs."""
    options = parsed()
    options.dragoman = os.environ.get('DRAGOMAN', '')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    logs = options.work / 'logs'
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    try:
        if not options.direct and not (options.dragoman and os.access(options.dragoman, os.X_OK)):
            raise PeerError('no dragoman binary: build one (cargo build) or set DRAGOMAN; or run --direct')
        peers = discover(options.peers, options.work)
        set_up(peers)
        code = run(options, peers, logs)
    except (PeerError, MeshError) as error:
        print(f'FAIL {error}', flush=True)
        code = 1
    if options.logs:
        for log in sorted(logs.glob('*.log')):
            print(f'---- {log.name}\n' + '\n'.join(log.read_text(errors='replace').splitlines()[-60:]))
    if code:
        print(f'logs: {logs}')
    return code


if __name__ == '__main__':
    sys.exit(main())
