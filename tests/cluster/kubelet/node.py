"""The node: takes the pods that nobody has, and gives each a worker."""

import logging
import threading
from pathlib import Path
from typing import Any

from kubelet.api import Api, ApiError, Follower, key
from kubelet.network import Network
from kubelet.pod import PodWorker
from kubelet.volumes import Objects

Object = dict[str, Any]

log = logging.getLogger('node')


class Node:
    """A node with all that its pods share."""

    def __init__(
        self,
        api: Api,
        name: str,
        network: Network,
        directory: Path,
        images: Path,
        dns: str,
        domain: str,
        token_share: float,
    ):
        self.api, self.name, self.network = api, name, network
        self.directory, self.images = directory, images
        self.token_share = token_share
        self.objects = Objects(api)
        self._dns, self._domain = dns, domain
        self._workers: dict[str, PodWorker] = {}
        self._lock = threading.Lock()
        self._pods = Follower(api, '/api/v1/pods', self._changed)
        self._kubernetes = ''

    def start(self) -> None:
        """Tells the API server that there is a node, and begins to work."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._kubernetes = self.api.get('/api/v1/namespaces/default/services/kubernetes')['spec']['clusterIP']
        labels = {'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64', 'kubernetes.io/hostname': self.name}
        self.api.post(
            '/api/v1/nodes', {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': self.name, 'labels': labels}}
        )
        much = {'cpu': '64', 'memory': '256Gi', 'pods': '200'}
        self.api.patch(
            f'/api/v1/nodes/{self.name}/status',
            {
                'status': {
                    'capacity': much,
                    'allocatable': much,
                    'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'KubeletReady'}],
                    'addresses': [{'type': 'InternalIP', 'address': self.network.node}],
                }
            },
        )
        self.objects.start()
        self._pods.start()
        self._pods.filled.wait()

    def _changed(self, pod: Object, gone: bool) -> None:
        node, uid = pod['spec'].get('nodeName'), pod['metadata']['uid']
        if not node and not gone:
            self._bind(pod)
        if node != self.name:
            return
        with self._lock:
            worker = self._workers.get(uid)
            over = pod.get('status', {}).get('phase') in ('Succeeded', 'Failed')
            if worker is None and not gone and not over:
                worker = self._workers[uid] = PodWorker(self, pod)
                worker.start()
        if worker is not None:
            worker.update(pod, gone)
        elif over and 'deletionTimestamp' in pod['metadata']:
            PodWorker(self, pod).start()

    def _bind(self, pod: Object) -> None:
        """The scheduler's work, with one node to choose from."""
        namespace, name = key(pod)
        target = {'apiVersion': 'v1', 'kind': 'Node', 'name': self.name}
        body = {'apiVersion': 'v1', 'kind': 'Binding', 'metadata': {'name': name}, 'target': target}
        try:
            self.api.post(f'/api/v1/namespaces/{namespace}/pods/{name}/binding', body)
        except ApiError as error:
            if error.status not in (404, 409):
                log.warning('%s/%s: %s', namespace, name, error)

    def left(self, worker: PodWorker) -> None:
        """A worker has done."""
        with self._lock:
            self._workers.pop(worker.uid, None)

    def resolver(self, pod: Object) -> str:
        """The resolv.conf of a pod."""
        policy = pod['spec'].get('dnsPolicy', 'ClusterFirst')
        said = pod['spec'].get('dnsConfig') or {}
        servers, searches, options = [], [], []
        if policy != 'None':
            servers = [self._dns]
            searches = [f'{pod["metadata"]["namespace"]}.svc.{self._domain}', f'svc.{self._domain}', self._domain]
            options = ['ndots:5']
        servers += said.get('nameservers', [])
        searches += said.get('searches', [])
        for option in said.get('options', []):
            options = [known for known in options if known.split(':')[0] != option['name']]
            options.append(option['name'] + (f':{option["value"]}' if 'value' in option else ''))
        lines = [f'search {" ".join(searches)}', *(f'nameserver {server}' for server in servers)]
        return '\n'.join([*lines, f'options {" ".join(options)}', ''])

    def variables(self) -> dict[str, str]:
        """The variables that lead every container to the API server."""
        return {'KUBERNETES_SERVICE_HOST': self._kubernetes, 'KUBERNETES_SERVICE_PORT': '443'}
