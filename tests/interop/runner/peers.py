"""The SDKs under test: what each can do, and its agents and clients as processes of their own."""

import json
import os
import queue
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
START = 90.0  # seconds for an agent to listen; a JVM on a busy machine is slow
STOP = 10.0  # seconds for a process to end
SLACK = 15.0  # seconds beside an operation's own timeout for a client to speak up
SHORT = {'JSONRPC': 'jsonrpc', 'HTTP+JSON': 'rest', 'GRPC': 'grpc', 'auto': 'auto'}

# What every client does, in this order.
OPERATIONS = (
    'Card',
    'SendMessage/echo',
    'SendMessage/task',
    'SendMessage/input',
    'SendMessage/fail',
    'SendStreamingMessage',
    'SendStreamingMessage/echo',
    'GetTask',
    'ListTasks',
    'CancelTask',
    'SubscribeToTask',
    'PushNotificationConfig',
    'GetExtendedAgentCard',
    'Errors/TaskNotFound',
    'Errors/NotCancelable',
    'Headers',
    'Extensions',
)


class PeerError(Exception):
    """A peer does not do what the contract says."""


@dataclass(frozen=True)
class Result:
    """What one operation gave: `pass`, `fail` or `unsupported`, and a line about it; `broken` is a client that does not
    keep to the contract, which is never the SDK's doing."""

    result: str
    why: str = ''


@dataclass(frozen=True)
class Lane:
    """One way in which an SDK line speaks; `dialect` is a version also where `binding` is `auto`."""

    peer: 'Peer'
    dialect: str
    binding: str

    @property
    def name(self) -> str:
        """Such as `js1-jsonrpc-10`: a DNS label."""
        return f'{self.peer.label}-{SHORT[self.binding]}-{self.dialect.replace(".", "")}'


class Peer:
    """One line of an SDK: a directory with setup, agent, client and lanes.json."""

    def __init__(self, directory: Path, target: Path):
        self.directory = directory
        self.language, self.line = directory.parent.name, directory.name
        self.work = target / f'{self.language}-{self.line}'
        described = json.loads((directory / 'lanes.json').read_text())
        self.sdk, self.version = described['sdk'], described['version']
        self.draft = described.get('draft', '')  # why its failures count against nobody
        self.agents = [Lane(self, one['dialect'], one['binding']) for one in described.get('agent', ())]
        self.clients = [Lane(self, one['dialect'], one['binding']) for one in described.get('client', ())]
        if self.agents:  # the sidecar is told nothing about this one
            self.agents.append(Lane(self, self.agents[0].dialect, 'auto'))

    @property
    def name(self) -> str:
        """Such as `js/1.x`."""
        return f'{self.language}/{self.line}'

    @property
    def label(self) -> str:
        """Such as `js1`, `js03` or `python-semantic-kernel`."""
        if self.line.endswith('.x'):
            return self.language + self.line.removesuffix('.x').replace('.', '')
        return f'{self.language}-{self.line}'

    def set_up(self) -> None:
        """Installs and builds it."""
        done = subprocess.run([self.directory / 'setup'], env=environment(self), stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise PeerError(f'setup of {self.name} ended with {done.returncode}')


def environment(peer: Peer) -> dict:
    """Each peer has its own directory to work in."""
    return os.environ | {'INTEROP_WORK': str(peer.work)}


def discover(names: list[str] | None, target: Path) -> list[Peer]:
    """The peers of these names or directories, or all that are here, in a fixed order; they build into `target`."""
    if names is None:
        found = [file.parent for file in ROOT.glob('*/*/lanes.json')]
    else:
        found = [Path(name) if Path(name).is_absolute() else ROOT / name for name in names]
    for directory in found:
        if not (directory / 'lanes.json').exists():
            raise PeerError(f'{directory} is no peer: it has no lanes.json')
    return sorted((Peer(directory, target) for directory in found), key=lambda peer: (peer.language, peer.line))


class Process:
    """A child whose standard output is read line by line."""

    def __init__(self, peer: Peer, command: list[str], log: Path):
        with log.open('a') as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True, env=environment(peer)
            )
        self.log = log
        self._lines: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def say(self, what: dict) -> None:
        """Writes one line to its standard input."""
        try:
            self._process.stdin.write(json.dumps(what) + '\n')
            self._process.stdin.flush()
        except OSError as error:
            raise PeerError(f'it does not read any more: {error}') from error

    def hear(self, seconds: float) -> dict:
        """The next line of its standard output."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise PeerError(f'it said nothing for {seconds:.0f} s') from None
        if line is None:
            raise PeerError(f'it ended with {self._process.wait()}: {self._last_words()}')
        try:
            return json.loads(line)
        except ValueError as error:
            raise PeerError(f'it said what is no JSON: {line.strip()[:200]}') from error

    def stop(self) -> None:
        """Ends it, by force if need be."""
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        return ' '.join(self.log.read_text(errors='replace').split())[-300:]


class Agent:
    """An agent of one SDK line in one dialect; it serves every binding of it."""

    def __init__(self, peer: Peer, dialect: str, logs: Path):
        self.name = f'{peer.label}-{dialect}'
        command = [str(peer.directory / 'agent'), '--dialect', dialect]
        self._process = Process(peer, command, logs / f'agent-{self.name}.log')
        self.url, self.grpc = '', None

    def wait(self) -> None:
        """Waits until it listens."""
        try:
            said = self._process.hear(START)
            self.url, self.grpc = said['url'].rstrip('/'), said.get('grpc')
        except (PeerError, KeyError) as error:
            raise PeerError(f'agent {self.name}: {error}') from error

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()


class Client:
    """The client of one SDK line; it is started when it is first needed, and again when it has died."""

    def __init__(self, peer: Peer, seconds: float, logs: Path):
        self._peer, self._seconds, self._logs = peer, seconds, logs
        self._process: Process | None = None
        self._lock = threading.Lock()

    def call(self, lane: Lane, base: str, only: list[str]) -> dict[str, Result]:
        """Lets it run these operations against the agent whose card is below `base`."""
        found = {'ListTasks': Result('unsupported', '0.3 has no ListTasks')} if lane.dialect == '0.3' else {}
        with self._lock:
            missing = self._ask(lane, base, [name for name in only if name not in found], found)
        return {name: found.get(name, missing) for name in only}

    def _ask(self, lane: Lane, base: str, only: list[str], found: dict[str, Result]) -> Result:
        """Fills in what the client says; gives the result of what it does not speak of."""
        try:
            process = self._running()
            wish = {'base': base, 'binding': lane.binding, 'dialect': lane.dialect}
            process.say({**wish, 'only': only, 'seconds': self._seconds})
            while not (said := process.hear(self._seconds + SLACK)).get('done'):
                found[said['operation']] = Result(said['result'], said.get('why') or '')
        except (PeerError, KeyError) as error:
            self.stop()  # what it says from now on would belong to another target
            return Result('broken', f'the client: {type(error).__name__}: {error}')
        return Result('broken', 'the client said nothing about it')

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _running(self) -> Process:
        if self._process is None:
            log = self._logs / f'client-{self._peer.label}.log'
            self._process = Process(self._peer, [str(self._peer.directory / 'client')], log)
        return self._process
