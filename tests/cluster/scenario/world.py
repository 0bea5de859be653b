"""The two clusters with Dragoman on them, and what one asks them."""

import json
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bed.checks import CheckFailed
from bed.mesh import Mesh
from bed.programs import CLUSTER, CommandFailed, run, start

REPOSITORY = CLUSTER.parent.parent
CHARTS = REPOSITORY / 'charts'
MANIFESTS = Path(__file__).with_name('manifests')
SYSTEM, TRAVEL = 'dragoman-system', 'travel'
RESTRICTED = 'pod-security.kubernetes.io/enforce=restricted'


@dataclass(frozen=True)
class Side:
    """One cluster."""

    mesh: Mesh
    helm_home: Path

    @property
    def name(self) -> str:
        """The mesh's name."""
        return self.mesh.plan.name

    @property
    def trust_domain(self) -> str:
        """Its trust domain."""
        return f'{self.name}.example'

    @property
    def directory(self) -> str:
        """The address of its directory, as docs/directory.md asks for it."""
        return self.get('service', 'dragoman-directory', '{.spec.clusterIP}', SYSTEM)

    def k(self, *words: str | Path, given: str | None = None, namespace: str = TRAVEL, seconds: float = 60) -> str:
        """kubectl in a namespace."""
        return self.mesh.kubectl('-n', namespace, *words, given=given, seconds=seconds)

    def get(self, kind: str, name: str, path: str, namespace: str = TRAVEL) -> str:
        """A field of an object as a JSON path; empty if there is no such object."""
        return self.k('get', kind, name, '--ignore-not-found', '-o', f'jsonpath={path}', namespace=namespace)

    def objects(self, kind: str, selector: str = '', namespace: str = TRAVEL) -> list[dict[str, Any]]:
        """Objects of a kind; in all namespaces if that is `*`."""
        where = ['--all-namespaces'] if namespace == '*' else ['-n', namespace]
        return json.loads(self.mesh.kubectl('get', kind, *where, '-l', selector, '-o', 'json'))['items']

    def pods(self, selector: str, namespace: str = TRAVEL) -> list[dict[str, Any]]:
        """Pods that are not about to end."""
        return [pod for pod in self.objects('pods', selector, namespace) if 'deletionTimestamp' not in pod['metadata']]

    def pod(self, selector: str, namespace: str = TRAVEL) -> str:
        """The name of the one pod."""
        names = [pod['metadata']['name'] for pod in self.pods(selector, namespace)]
        if len(names) != 1:
            raise ValueError(f'{selector}: expected one pod, found {names}')
        return names[0]

    def rolled_out(self, deployment: str, namespace: str = TRAVEL, seconds: float = 120) -> None:
        """Waits until a Deployment is as it should be."""
        self.k(
            'rollout',
            'status',
            'deployment',
            deployment,
            f'--timeout={seconds:g}s',
            namespace=namespace,
            seconds=seconds + 10,
        )

    def helm(self, *words: str | Path, given: str | None = None, seconds: float = 180) -> str:
        """helm against this cluster."""
        homes = {f'HELM_{what}_HOME': str(self.helm_home / what.lower()) for what in ('CACHE', 'CONFIG', 'DATA')}
        program = self.mesh.tools / 'helm'
        env = os.environ | homes
        return run(program, '--kubeconfig', self.mesh.kubeconfig, *words, given=given, seconds=seconds, env=env)

    def upgrade(self, values: dict[str, Any] | str, seconds: float = 180) -> str:
        """Installs or upgrades the chart of the controller; `values` (as YAML if text) come over those of the last time."""
        words: list[str | Path] = [
            'upgrade',
            '--install',
            'dragoman',
            CHARTS / 'dragoman',
            '-n',
            SYSTEM,
            '--reset-then-reuse-values',
        ]
        text = values if isinstance(values, str) else json.dumps(values)
        return self.helm(*words, '-f', '-', '--wait', f'--timeout={seconds:g}s', given=text, seconds=seconds + 20)

    def roots(self, domain: str = '') -> str:
        """The roots of a trust domain, by default its own, as they are published."""
        key = f'{domain or self.trust_domain}.trust-bundle.pem'
        path = '{.data.' + key.replace('.', r'\.') + '}'
        return self.get('configmap', 'dragoman-trust-bundle', path, SYSTEM)

    def dragoman(self, pod: str, *words: str, namespace: str = TRAVEL, container: str = 'dragoman') -> str:
        """The client commands, in the sidecar's own container."""
        return self.mesh.inside(namespace, pod, container, '/dragoman', *words)

    def dragoman_fails(self, pod: str, *words: str, namespace: str = TRAVEL) -> str:
        """The same where it is to fail; what it says."""
        facts = json.loads((self.mesh.node / 'running' / namespace / pod / 'dragoman').read_text())
        enter = [sys.executable, '-I', str(CLUSTER / 'kubelet/enter.py'), facts['plan'], str(facts['pid'])]
        done = subprocess.run([*enter, '/dragoman', *words], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 1:
            raise CommandFailed(f'dragoman {" ".join(words)}: exit code {done.returncode}: {done.stdout}{done.stderr}')
        return done.stdout + done.stderr

    def call(self, pod: str, image: list[str], agent: str, *words: str, namespace: str = TRAVEL) -> str:
        """A call by the official SDK, from the agent's own container, to the base URL of an agent."""
        url = f'http://127.0.0.1:2602/agents/{agent}'
        return self.mesh.inside(namespace, pod, 'agent', *image, url, *words).rstrip('\n')

    def controller_pid(self) -> int:
        """The process of the one controller."""
        pod = self.pod('app.kubernetes.io/name=dragoman', SYSTEM)
        return json.loads((self.mesh.node / 'running' / SYSTEM / pod / 'controller').read_text())['pid']


def on_page(begin: str, page: str = 'kubernetes.md', language: str = 'yaml') -> str:
    """The block of a page of docs/ that begins so."""
    text = (REPOSITORY / 'docs' / page).read_text()
    found = re.search(rf'^( *)```{language}\n(\1{re.escape(begin)}.*?)^\1```$', text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise CheckFailed(f'docs/{page} shows nothing that begins with {begin!r}')
    return textwrap.dedent(found[2])


class Calls:
    """Calls in the background, by the official SDK from an agent's container, while the test changes things."""

    def __init__(self, side: Side, pod: str, image: list[str], agent: str, log: Path, pause: float = 0.1):
        self._log, self._read = log, 0
        log.unlink(missing_ok=True)
        facts = json.loads((side.mesh.node / 'running' / TRAVEL / pod / 'agent').read_text())
        enter = [sys.executable, '-I', str(CLUSTER / 'kubelet/enter.py'), facts['plan'], str(facts['pid'])]
        url = f'http://127.0.0.1:2602/agents/{agent}'
        self._process = start(log, *enter, *image, url, 'often', str(pause))

    def since(self) -> list[dict[str, Any]]:
        """The calls that have ended since it was asked last."""
        lines = self._log.read_text().split('\n')[:-1] if self._log.exists() else []
        fresh, self._read = lines[self._read :], len(lines)
        try:
            return [json.loads(line) for line in fresh]
        except ValueError as error:
            raise CommandFailed(f'the caller has ended: {"; ".join(fresh[-3:])}') from error

    def stop(self) -> None:
        """No more."""
        self._process.terminate()
        self._process.wait(10)


def failures(calls: list[dict[str, Any]]) -> list[str]:
    """What went wrong."""
    return [f'{call["at"]:.1f}: {call["error"]}' for call in calls if 'error' in call]
