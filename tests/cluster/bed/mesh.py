"""A mesh: a cluster of its own on this machine, with a real control plane, a node and a nameserver.

                        desk (the namespace of the test: helm, kubectl, dig)
        172.31.81.1 ──────────┴────────── 172.31.91.1
             │                                 │
      east's node 10.81.0.1             west's node 10.91.0.1      kube-apiserver :6443, CoreDNS :53, rules for Services
       │      │                          │      │
      pod    pod   10.81.0.0/24         pod    pod   10.91.0.0/24  each with a network namespace of its own

Pods of all meshes reach each other without translation, as in a flat network over clusters; so do the addresses of Services
(east 10.82.0.0/16, west 10.92.0.0/16), as where clusters announce them to each other.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from kubelet.api import Api
from kubelet.network import batch, wait_for_namespace

from bed.programs import CLUSTER, run, start

STATE = Path('/srv')  # in memory, and only of this run: see bed/enclosed


@dataclass(frozen=True)
class Plan:
    """The names and addresses of a mesh."""

    name: str
    number: int

    @property
    def node(self) -> str:
        """The address of its node, of its API server and of its nameserver."""
        return f'10.{self.number}.0.1'

    @property
    def pods(self) -> str:
        """The addresses of its pods."""
        return f'10.{self.number}.0.0/24'

    @property
    def services(self) -> str:
        """The addresses of its Services."""
        return f'10.{self.number + 1}.0.0/16'

    @property
    def dns(self) -> str:
        """The Service in front of its nameserver."""
        return f'10.{self.number + 1}.0.10'

    @property
    def domain(self) -> str:
        """Its cluster domain."""
        return f'{self.name}.local'

    @property
    def link(self) -> tuple[str, str]:
        """The addresses of the wire between desk and node."""
        return f'172.31.{self.number}.1', f'172.31.{self.number}.2'


EAST, WEST = Plan('east', 81), Plan('west', 91)


class Mesh:
    """A running cluster."""

    def __init__(self, plan: Plan, tools: Path, images: Path, directory: Path, token_share: float = 0.8):
        """`tools` has kube-apiserver and the others, `images` says what image names stand for, `directory` keeps logs."""
        self.plan, self.tools, self.directory = plan, tools, directory
        self._images, self._token_share = images, token_share
        self.control = STATE / plan.name
        self.node = directory / 'node'
        self.kubeconfig = self.control / 'admin.kubeconfig'
        self.api: Api | None = None
        self._holder: subprocess.Popen | None = None
        self._running: list[subprocess.Popen] = []

    def lay(self) -> None:
        """The node's namespace and the wire to it; not for several meshes at once."""
        plan = self.plan
        self._holder = subprocess.Popen(['unshare', '--net', 'sleep', 'infinity'])
        wait_for_namespace(self._holder.pid)
        desk, node = plan.link
        batch(f"""
            link add {plan.name} type veth peer name desk netns {self._holder.pid}
            addr add {desk}/30 dev {plan.name}
            link set {plan.name} up
            route add {plan.pods} via {node}
            route add {plan.services} via {node}""")
        batch(
            f"""
            link set lo up
            addr add {plan.node}/32 dev lo
            addr add {node}/30 dev desk
            link set desk up
            route add default via {desk} src {plan.node}""",
            self.namespace,
        )
        run(*self.on_node, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')

    @property
    def namespace(self) -> str:
        """The network namespace of its node."""
        assert self._holder is not None, 'lay() comes first'
        return f'/proc/{self._holder.pid}/ns/net'

    @property
    def on_node(self) -> list[str]:
        """What runs a command on the node."""
        return ['nsenter', f'--net={self.namespace}']

    def up(self, corefile: str) -> None:
        """Starts everything, and returns when pods are taken."""
        plan = self.plan
        logs = self.directory / 'control'  # what the programs say is to outlive the run
        logs.mkdir(parents=True, exist_ok=True)
        self.control.mkdir()
        (self.control / 'log').symlink_to(logs)
        run(
            *self.on_node,
            CLUSTER / 'apiserver',
            'up',
            self.control,
            '--bind',
            plan.node,
            '--port',
            '6443',
            '--service-cidr',
            plan.services,
            seconds=180,
        )
        self.api = Api(self.control)
        self.serve_names(corefile)
        self._start(
            'kubelet',
            *self.on_node,
            sys.executable,
            '-m',
            'kubelet',
            '--control',
            self.control,
            '--name',
            f'{plan.name}-1',
            '--pods',
            plan.pods,
            '--images',
            self._images,
            '--directory',
            self.node,
            '--dns',
            plan.dns,
            '--domain',
            plan.domain,
            '--token-share',
            str(self._token_share),
        )

    def _start(self, name: str, *command: str | Path) -> None:
        env = os.environ | {'PYTHONPATH': str(CLUSTER), 'PYTHONUNBUFFERED': '1', 'PYTHONDONTWRITEBYTECODE': '1'}
        self._running.append(start(self.directory / f'{name}.log', *command, env=env))

    def serve_names(self, corefile: str) -> None:
        """Starts CoreDNS, behind the Service that pods ask."""
        self.write_corefile(corefile)
        self._start('coredns', *self.on_node, self.tools / 'coredns', '-conf', self.directory / 'Corefile')
        self.kubectl(
            'apply',
            '-f',
            '-',
            given=f"""
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system}}
spec:
  clusterIP: {self.plan.dns}
  ports: [{{name: dns, port: 53, protocol: UDP}}, {{name: dns-tcp, port: 53}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
ports: [{{name: dns, port: 53, protocol: UDP}}, {{name: dns-tcp, port: 53, protocol: TCP}}]
endpoints: [{{addresses: [{self.plan.node}], conditions: {{ready: true}}}}]
""",
        )

    def write_corefile(self, corefile: str) -> None:
        """Gives CoreDNS another configuration; it looks every two seconds."""
        self.directory.mkdir(parents=True, exist_ok=True)
        beside = self.directory / 'Corefile.new'
        beside.write_text(corefile)
        beside.rename(self.directory / 'Corefile')

    def kubectl(self, *words: str | Path, given: str | None = None, seconds: float = 60) -> str:
        """kubectl, from the desk."""
        return run(self.tools / 'kubectl', '--kubeconfig', self.kubeconfig, *words, given=given, seconds=seconds)

    def inside(self, namespace: str, pod: str, container: str, *command: str | Path, seconds: float = 60) -> str:
        """What a command says that runs in a container, as its user."""
        facts = json.loads((self.node / 'running' / namespace / pod / container).read_text())
        enter = CLUSTER / 'kubelet/enter.py'
        return run(sys.executable, '-I', enter, facts['plan'], str(facts['pid']), *command, seconds=seconds)

    def dig(self, name: str, kind: str = 'A') -> list[str]:
        """What its nameserver answers, in short."""
        return run('dig', '+short', '+time=2', '+tries=1', f'@{self.plan.node}', name, kind).split('\n')[:-1]

    def down(self) -> None:
        """Ends what runs; the namespaces go with the test."""
        for process in self._running:
            process.terminate()
        run(CLUSTER / 'apiserver', 'down', self.control)
        for process in self._running:
            process.wait(10)


def corefile(plan: Plan, control: Path, others: list[Plan], more: str = '') -> str:
    """A Corefile as a cluster has it, and a stub for each other cluster. What nobody knows does not exist."""
    stubs = ''.join(
        f"""
{other.domain}:53 {{
    bind {plan.node}
    errors
    forward . {other.node}
}}"""
        for other in others
    )
    zones = f'{plan.domain} in-addr.arpa ip6.arpa'
    return f"""{zones} {{
    bind {plan.node}
    errors
    reload 2s 1s
    kubernetes {zones} {{
        kubeconfig {control}/admin.kubeconfig test
        pods insecure
        ttl 5
    }}
    cache 5 {{
        disable denial
    }}
    loadbalance
}}
. {{
    bind {plan.node}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}{stubs}
{more}"""
