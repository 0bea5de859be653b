"""The mesh: throw-away certificates, a DNS server, one sidecar beside the agents and one beside the caller."""

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

from nameserver import Nameserver

NAMESPACE, DOMAIN = 'travel', 'east.example'
START = 20.0  # seconds for a sidecar to be ready
STOP = 30.0  # seconds for it to drain

CONFIG = """\
mesh: {{name: east, trustDomain: {domain}, clusterDomain: cluster.local, namespace: {namespace}}}
agents: {agents}
identity:
  files: {{dir: "{identity}"}}
outbound: {{listen: ["127.0.0.1:0"]}}
inbound: {{listen: ["127.0.0.1:0"]}}
admin: {{listen: ["127.0.0.1:0"]}}
discovery: {{nameservers: ["{nameserver}"]}}
log: {{format: json, level: info}}
"""


class MeshError(Exception):
    """The test bed could not be set up."""


class Sidecar:
    """One `dragoman sidecar` process; its output goes to a log of its own."""

    def __init__(self, dragoman: str, name: str, config: str, work: Path, logs: Path):
        self.name = name
        self._log = logs / f'sidecar-{name}.log'
        self._ready = work / f'{name}.ready.json'
        self._ready.unlink(missing_ok=True)
        file = work / f'{name}.yaml'
        file.write_text(config)
        command = [dragoman, 'sidecar', '--config', str(file), '--ready-file', str(self._ready)]
        with self._log.open('w') as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def addresses(self) -> dict:
        """Waits for the ready file and gives what it says."""
        end = time.monotonic() + START
        while not self._ready.exists():
            if self.process.poll() is not None:
                raise MeshError(f'sidecar {self.name} ended with {self.process.returncode}:\n{self._tail()}')
            if time.monotonic() > end:
                raise MeshError(f'sidecar {self.name} is not ready after {START} s:\n{self._tail()}')
            time.sleep(0.02)
        return json.loads(self._ready.read_text())

    def stop(self) -> None:
        """Asks it to drain, and ends it when it does not."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            print(f'sidecar {self.name} did not stop within {STOP} s and was killed', flush=True)
            self.process.kill()
            self.process.wait()

    def _tail(self) -> str:
        return '\n'.join(self._log.read_text(errors='replace').splitlines()[-40:])


class Mesh:
    """Everything between the caller and the agents; `base` gives the URL that a caller is given.

    `agents` are the entries of the `agents` key of the config of the sidecar beside them, which serves them all.
    """

    def __init__(self, dragoman: str, agents: list[dict], logs: Path):
        self._dragoman, self.logs = dragoman, logs
        self.work = logs.parent / 'mesh'
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self._sidecars: list[Sidecar] = []
        self._dns = Nameserver()
        try:
            self._authority = self.authority(DOMAIN, 'ca')
            host = f'{agents[0]["name"]}.{NAMESPACE}.svc.cluster.local'
            peer = self.issue('peer', f'spiffe://{DOMAIN}/ns/{NAMESPACE}/sa/peer', host)
            caller = self.issue('caller', f'spiffe://{DOMAIN}/ns/{NAMESPACE}/sa/caller')
            self.peer = self._start('peer', agents, peer)
            self.inbound = self.peer['inbound']
            for agent in agents:
                self._dns.records.serve(f'{agent["name"]}.{NAMESPACE}', int(self.inbound.rpartition(':')[2]))
            self.caller = self._start('caller', [], caller)
        except BaseException:
            self.stop()
            raise

    def base(self, name: str) -> str:
        """The base URL at which a caller finds an agent."""
        return f'http://{self.caller["outbound"]}/agents/{name}.{NAMESPACE}'

    def authority(self, domain: str, name: str) -> Path:
        """A certificate authority of a trust domain."""
        out = self.work / name
        self._run('certs', 'ca', '--trust-domain', domain, '--out', str(out))
        return out

    def issue(self, name: str, spiffe_id: str, dns: str | None = None, authority: Path | None = None) -> Path:
        """A directory with `tls.crt`, `tls.key` and `ca.crt` for one identity."""
        authority, out = authority or self._authority, self.work / name
        more = ['--dns', dns] if dns else []
        self._run('certs', 'issue', '--ca', str(authority), '--id', spiffe_id, *more, '--out', str(out))
        if not (out / 'ca.crt').exists():
            shutil.copy(authority / 'ca.crt', out / 'ca.crt')
        return out

    def metrics(self, which: dict) -> str:
        """What a sidecar tells Prometheus."""
        with urllib.request.urlopen(f'http://{which["admin"]}/metrics', timeout=5) as reply:
            return reply.read().decode()

    def stop(self) -> None:
        """Stops the processes that were started here, callers first."""
        for sidecar in reversed(self._sidecars):
            sidecar.stop()
        self._dns.stop()
        (self.logs / 'dns.log').write_text('\n'.join(self._dns.records.asked))

    def _start(self, name: str, agents: list[dict], identity: Path) -> dict:
        config = CONFIG.format(
            domain=DOMAIN,
            namespace=NAMESPACE,
            agents=json.dumps(agents),  # JSON is YAML
            identity=identity,
            nameserver=self._dns.address,
        )
        sidecar = Sidecar(self._dragoman, name, config, self.work, self.logs)
        self._sidecars.append(sidecar)
        return sidecar.addresses()

    def _run(self, *arguments: str) -> None:
        done = subprocess.run([self._dragoman, *arguments], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise MeshError(f'dragoman {" ".join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}')
