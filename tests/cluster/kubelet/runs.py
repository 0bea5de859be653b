"""One container of a pod over all its runs: started, judged by its probes, ended, and started again after a while."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kubelet.containers import Process
from kubelet.probes import Prober

Object = dict[str, Any]
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds before another start; a kubelet has 10 s and 5 min
CALM = 60.0  # seconds that a run must last for the next wait to be the first one again


class Kind(Enum):
    """What a container is for."""

    INIT = 'init'
    SIDECAR = 'sidecar'
    APP = 'app'


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    began: float
    ended: float
    code: int
    signal: int
    message: str


@dataclass
class Container:
    """A container as its pod describes it, and what has become of it."""

    said: Object
    kind: Kind
    wake: Callable[[], None]
    process: Process | None = None
    started: bool = False
    ready: bool = False
    count: int = 0  # of starts
    last: Run | None = None
    before: Run | None = None  # the last but one, while none runs
    waiting: tuple[str, str] = ('PodInitializing', '')
    unwell: str = ''  # the probe that asks for its end
    image: str = ''
    stopping: float | None = None  # when it was asked to end
    _wait: float = FIRST_WAIT
    _not_before: float = 0.0
    _probers: list[Prober] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name."""
        return self.said['name']

    @property
    def running(self) -> bool:
        """Whether a process of it is there."""
        return self.process is not None

    @property
    def done(self) -> bool:
        """Whether it has ended well."""
        return not self.running and self.last is not None and self.last.code == 0

    @property
    def may_start(self) -> bool:
        """Whether it has waited long enough since it ended."""
        return time.time() >= self._not_before

    def begin(self, process: Process, address: str) -> None:
        """A process of it has been started."""
        self.process, self.count, self.before = process, self.count + 1, self.last
        self.unwell, self.stopping, self.started, self.ready = '', None, False, False
        self.image = self.said['image']
        if 'startupProbe' in self.said:
            self._probe('startupProbe', address, lambda good: self._startup(good, address))
        else:
            self._is_started(address)

    def _startup(self, good: bool, address: str) -> None:
        if good:
            self._probers.pop().stop()
            self._is_started(address)
            self.wake()
        else:
            self._is_unwell('startup')

    def _is_started(self, address: str) -> None:
        self.started = True
        if 'readinessProbe' in self.said:
            self._probe('readinessProbe', address, self._readiness)
        else:
            self.ready = True
        if 'livenessProbe' in self.said:
            self._probe('livenessProbe', address, lambda good: None if good else self._is_unwell('liveness'))

    def _probe(self, name: str, address: str, judged: Callable[[bool], None]) -> None:
        if self.process is None:  # it has ended meanwhile
            return
        prober = Prober(self.said[name], self.said, address, self.process, judged)
        self._probers.append(prober)
        prober.start()

    def _readiness(self, good: bool) -> None:
        self.ready = good
        self.wake()

    def _is_unwell(self, probe: str) -> None:
        self.unwell = probe
        self.wake()

    def reap(self) -> bool:
        """Takes note if it has ended; whether it has."""
        process = self.process
        ended = process.ended() if process is not None else None
        if process is None or ended is None:
            return False
        self.no_more_probes()
        now = time.time()
        self.last = Run(process.began, now, ended.code, ended.signal, ended.message)
        if now - process.began > CALM:
            self._wait = FIRST_WAIT
        # The first end is answered at once, from the second on with patience.
        self._not_before = now + (0 if self.count == 1 else self._wait)
        self._wait = min(self._wait * 2, LONGEST_WAIT) if self.count > 1 else self._wait
        self.process, self.started, self.ready = None, False, False
        self.waiting = ('CrashLoopBackOff', f'back-off {self._not_before - now:.0f}s restarting failed container')
        return True

    def cannot_start(self, reason: str, why: str) -> None:
        """Notes why no process could be made; it is tried again."""
        self.waiting = (reason, why)
        self._not_before = time.time() + FIRST_WAIT

    def stop(self) -> float:
        """Asks it to end, once; when that was. Its readiness is watched until it has ended."""
        if self.stopping is None:
            self.stopping = time.time()
            if self.process is not None and 'preStop' in self.said.get('lifecycle', {}):
                threading.Thread(target=self._say_goodbye, args=(self.process,), daemon=True).start()
            elif self.process is not None:
                self.process.terminate()
        return self.stopping

    def _say_goodbye(self, process: Process) -> None:
        """The preStop hook, and then the signal. Whoever waits for the end has a deadline for both."""
        hook = self.said['lifecycle']['preStop']
        if 'sleep' in hook:
            time.sleep(hook['sleep']['seconds'])
        elif 'exec' in hook:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.run_inside(hook['exec']['command'], 300)
        process.terminate()

    def kill(self) -> None:
        """Ends it."""
        if self.process is not None:
            self.process.kill()

    def no_more_probes(self) -> None:
        """Stops all probes."""
        for prober in self._probers:
            prober.stop()
        self._probers.clear()
