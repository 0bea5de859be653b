"""Plain pods on the node of the cluster tests; see `kubelet-test`."""

import json
import sys
from pathlib import Path

from bed.checks import CheckFailed, equal, eventually, holds, never_fails, step, true
from bed.mesh import EAST, STATE, Mesh, corefile
from bed.programs import CommandFailed

SHARE = 0.005  # of a token's ten minutes: it is replaced after three seconds
MANIFESTS = Path(__file__).with_name('plain')
READY = "{.status.phase} {.status.conditions[?(@.type=='Ready')].status}"
FIRST = '{.status.containerStatuses[0]'
# Asks the API server as a client library in a pod does.
ASK = """
import os, ssl, urllib.request
mine = '/var/run/secrets/kubernetes.io/serviceaccount/'
url = 'https://' + os.environ['KUBERNETES_SERVICE_HOST'] + '/api'
asked = urllib.request.Request(url, headers={'Authorization': 'Bearer ' + open(mine + 'token').read()})
print(urllib.request.urlopen(asked, context=ssl.create_default_context(cafile=mine + 'ca.crt')).status)
"""
CALL = 'import urllib.request as u; print(u.urlopen("http://{}/name", timeout=2).read().decode())'


class Plain:
    """The cluster, and questions about its pods."""

    def __init__(self, mesh: Mesh):
        self.mesh = mesh

    def kubectl(self, *words: str, given: str | None = None) -> str:
        """kubectl in the namespace "plain"."""
        return self.mesh.kubectl('-n', 'plain', *words, given=given)

    def apply(self, name: str) -> None:
        """Makes the objects of a file."""
        self.kubectl('apply', '-f', str(MANIFESTS / name))

    def get(self, kind: str, name: str, path: str) -> str:
        """A field of an object, as a JSON path; empty if there is no object."""
        return self.kubectl('get', kind, name, '--ignore-not-found', '-o', f'jsonpath={path}')

    def sees(self, what: str, kind: str, name: str, path: str, expected: str) -> None:
        """A check: the field becomes this."""
        eventually(what, lambda: self.get(kind, name, path), lambda found: found == expected)

    def inside(self, pod: str, *command: str) -> str:
        """What a command says that runs in the container "app" of a pod."""
        return self.mesh.inside('plain', pod, 'app', *command).strip()

    def shell(self, pod: str, script: str) -> str:
        """What a script says there."""
        return self.inside(pod, 'sh', '-c', script)


def order(plain: Plain) -> None:
    """Init containers, a native sidecar, and the app."""
    step('init containers come in order, the app after the sidecar has started')
    plain.apply('order.yaml')
    plain.sees('the pod becomes ready', 'pod', 'order', READY, 'Running True')
    eventually(
        'each waited for the one before',
        lambda: plain.inside('order', 'cat', '/shared/order').split('\n'),
        lambda found: found == ['first', 'beside', 'started', 'second', 'app'],
    )
    sidecar = '{.status.initContainerStatuses[1]'
    plain.sees('the status of the sidecar says so', 'pod', 'order', f'{sidecar}.started}} {sidecar}.ready}}', 'true true')
    equal('a container runs as the user it is told', plain.inside('order', 'id', '-u'), '1234')
    equal('and the group', plain.inside('order', 'id', '-g'), '1235')
    capabilities = plain.shell('order', 'grep -E "CapEff|CapBnd" /proc/self/status | cut -f2 | sort -u')
    equal('without capabilities', capabilities, '0' * 16)
    equal('it cannot write on its root', plain.shell('order', 'touch /x 2> /dev/null || echo refused'), 'refused')
    equal('but on a volume in memory', plain.shell('order', 'cd /var/lib/fast; touch x; stat -f -c %T .'), 'tmpfs')
    filled = plain.shell('order', 'cd /var/lib/fast; head -c 2M /dev/zero > x 2> /dev/null; stat -c %s x')
    equal('until that is full', filled, str(2**20))

    step('at the end the app goes first')
    shared = next((plain.mesh.node / 'pods').glob('*/volumes/shared/order')).open()
    plain.kubectl('delete', 'pod', 'order')
    equal('then the sidecar', shared.read().split('\n')[-4:-1], ['goodbye', 'app ends', 'beside ends'])
    equal('and nothing of it is left', list((plain.mesh.node / 'pods').iterdir()), [])


def volumes(plain: Plain) -> None:
    """Projected volumes, and what they show when things change."""
    step('volumes')
    plain.apply('volumes.yaml')
    plain.sees('the pod runs', 'pod', 'volumes', '{.status.phase}', 'Running')

    def cat(name: str) -> str:
        return plain.inside('volumes', 'cat', f'/var/run/all/{name}')

    equal('an annotation is a file', cat('config.yaml'), '{"a": 1}')
    equal('and so are the labels', cat('labels'), 'app="volumes"')
    equal('a key of a ConfigMap is at its path', cat('deep/greeting'), 'hello')
    address = plain.get('pod', 'volumes', '{.status.podIP}')
    both = plain.shell('volumes', 'echo "$BOTH"')
    equal('variables refer to each other', both, f'hello {address} $(NOBODY) $(ME)')
    token, data = cat('token'), plain.inside('volumes', 'readlink', '/var/run/all/..data')
    asked: dict[str, object] = {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenReview'}
    asked['spec'] = {'token': token, 'audiences': ['dragoman-identity']}
    review = json.loads(plain.mesh.kubectl('create', '-o', 'json', '-f', '-', given=json.dumps(asked)))
    bound = review['status']['user']['extra']['authentication.kubernetes.io/pod-name']
    equal('the token is one of the API server, bound to the pod', bound, ['volumes'])
    eventually('before its end it is another one', lambda: cat('token'), lambda found: found not in ('', token), 15)
    true('in another directory', plain.inside('volumes', 'readlink', '/var/run/all/..data') != data)
    plain.kubectl('patch', 'configmap', 'words', '-p', '{"data": {"greeting": "good day"}}')
    eventually('a change of the ConfigMap arrives', lambda: cat('deep/greeting'), lambda found: found == 'good day')
    plain.kubectl('annotate', 'pod', 'volumes', '--overwrite', 'dragoman.dev/config={"a": 2}')
    eventually('and one of an annotation', lambda: cat('config.yaml'), lambda found: found == '{"a": 2}')
    equal('a pod reaches the API server with its token', plain.inside('volumes', sys.executable, '-c', ASK), '200')


def probes(plain: Plain) -> None:
    """Readiness, liveness, restarts."""
    step('probes and restarts')
    plain.apply('probed.yaml')
    eventually('it runs', lambda: plain.get('pod', 'probed', READY), lambda found: found.startswith('Running'))
    unready = 'Running False'
    never_fails('not ready before its probe', lambda: plain.get('pod', 'probed', READY) == unready, 2)
    plain.inside('probed', 'touch', '/shared/ready')
    plain.sees('then it is', 'pod', 'probed', READY, 'Running True')
    plain.inside('probed', 'rm', '/shared/ready')
    plain.sees('and no more when the probe fails', 'pod', 'probed', READY, unready)
    plain.inside('probed', 'rm', '/shared/alive')
    plain.sees('what is not alive is started again', 'pod', 'probed', f'{FIRST}.restartCount}}', '1')
    plain.sees('after a signal', 'pod', 'probed', f'{FIRST}.lastState.terminated.signal}}', '15')
    plain.apply('idle.yaml')
    plain.sees('one that always fails has to wait', 'pod', 'failing', f'{FIRST}.state.waiting.reason}}', 'CrashLoopBackOff')
    plain.sees('its status has its last words', 'pod', 'failing', f'{FIRST}.lastState.terminated.message}}', 'it broke')
    plain.sees('an unknown image is said', 'pod', 'nobody', f'{FIRST}.state.waiting.reason}}', 'ErrImagePull')
    plain.kubectl('delete', 'pod', 'nobody', 'failing', 'probed')


def job(plain: Plain) -> None:
    """A Job with a sidecar completes."""
    step('a Job')
    plain.apply('job.yaml')
    plain.sees('completes, although its sidecar would run on', 'job', 'work', '{.status.succeeded}', '1')


def service(plain: Plain) -> None:
    """Services and their names."""
    step('Services')
    plain.apply('web.yaml')
    plain.sees('the Deployment is available', 'deployment', 'web', '{.status.availableReplicas}', '2')

    def call(host: str, pod: str = 'caller') -> str:
        return plain.inside(pod, 'python3', '-c', CALL.format(host))

    eventually('a pod calls it by its short name', lambda: call('web'), lambda found: found.startswith('web-'))
    found = {call('web.plain.svc.east.local') for _ in range(16)}
    equal('and by its full one, and all its pods answer', len(found), 2)
    own = {call('web', name) for name in found for _ in range(6)}
    equal('a pod that calls itself by way of the Service is answered', own, found)
    equal('a headless Service has a record for each', len(plain.mesh.dig('web-each.plain.svc.east.local')), 2)
    records = plain.mesh.dig('_http._tcp.web-each.plain.svc.east.local', 'SRV')
    equal('and its port by name', {line.split()[2] for line in records}, {'8080'})
    plain.kubectl('scale', 'deployment', 'web', '--replicas=0')

    def refused() -> str:
        try:
            return call('web')
        except CommandFailed as error:
            return str(error)

    eventually('without pods it refuses', refused, lambda found: 'Connection refused' in found)


def main() -> None:
    """All of it."""
    tools, directory = Path(sys.argv[1]), Path(sys.argv[2])
    images = directory / 'images.json'
    images.write_text(json.dumps({'shell': {'root': '/', 'entrypoint': ['/bin/sh', '-c'], 'open': ['/root']}}))
    step('a cluster comes up')
    mesh = Mesh(EAST, tools, images, directory, SHARE)
    mesh.lay()
    mesh.up(corefile(EAST, STATE / EAST.name, []))
    plain = Plain(mesh)
    eventually('and takes pods', lambda: (mesh.node / 'ready').exists())
    plain.mesh.kubectl('create', 'namespace', 'plain')
    plain.sees('a namespace has an account', 'serviceaccount', 'default', '{.metadata.name}', 'default')
    plain.sees('and the root', 'configmap', 'kube-root-ca.crt', '{.metadata.name}', 'kube-root-ca.crt')
    for part in (order, volumes, probes, job, service):
        part(plain)
    step('the end')
    mesh.kubectl('delete', 'namespace', 'plain')
    equal('no pod is left', list((mesh.node / 'pods').iterdir()), [])
    mesh.down()
    holds('everything has ended')


if __name__ == '__main__':
    try:
        main()
    except (CheckFailed, CommandFailed) as error:
        print(f'  FAIL  {error}', flush=True)
        sys.exit(1)
