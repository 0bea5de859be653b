"""One pod on this node, from its first volume to its last container: what a kubelet's pod worker does."""

import json
import logging
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from kubelet import containers as make
from kubelet import images
from kubelet.api import ApiError
from kubelet.containers import Misconfigured, Process
from kubelet.fields import Unsupported
from kubelet.network import Sandbox
from kubelet.runs import Container, Kind
from kubelet.status import Conditions, pod_status, stamp
from kubelet.volumes import NotYet, Tokens, Volumes

Object = dict[str, Any]
TICK = 0.1  # seconds between two looks at the processes
RENEW = 1.0  # seconds between two looks at the volumes; a kubelet takes up to a minute
LEAST_GRACE = 2.0  # seconds that a sidecar has after the others have used up all the grace

log = logging.getLogger('pod')


class PodWorker(threading.Thread):
    """Runs a pod until it is gone from the API server, or until what the API server holds has another UID."""

    def __init__(self, node, pod: Object):
        """`node` is the Node (see node.py) that this pod is on."""
        super().__init__(daemon=True, name=f'pod {pod["metadata"]["namespace"]}/{pod["metadata"]["name"]}')
        self._node, self._pod = node, pod
        metadata = pod['metadata']
        self.uid, self.label = metadata['uid'], f'{metadata["namespace"]}/{metadata["name"]}'
        self._path = f'/api/v1/namespaces/{metadata["namespace"]}/pods/{metadata["name"]}'
        self._directory = node.directory / 'pods' / self.uid
        self._wake = threading.Event()
        self._gone = False
        self._sandbox: Sandbox | None = None
        self._volumes = Volumes(pod, self._directory / 'volumes', node.objects, Tokens(node.api, pod, node.token_share))
        self._renewed, self._started_at = 0.0, time.time()
        self._reported: Object | None = None
        self._conditions = Conditions()
        self._phase, self._initialised = 'Pending', False
        self._containers = [self._container(said, True) for said in pod['spec'].get('initContainers', [])]
        self._containers += [self._container(said, False) for said in pod['spec']['containers']]

    def _container(self, said: Object, init: bool) -> Container:
        kind = Kind.APP if not init else Kind.SIDECAR if said.get('restartPolicy') == 'Always' else Kind.INIT
        waiting = 'PodInitializing' if self._pod['spec'].get('initContainers') else 'ContainerCreating'
        return Container(said, kind, self._wake.set, waiting=(waiting, ''))

    def update(self, pod: Object, gone: bool) -> None:
        """The API server has something new about it."""
        if self._sandbox is not None:
            pod = pod | {'status': pod.get('status', {}) | self._addresses()}
        self._pod, self._gone = pod, gone or pod['metadata']['uid'] != self.uid
        for container in self._containers:
            key = 'containers' if container.kind is Kind.APP else 'initContainers'
            for said in pod['spec'].get(key, []):
                if said['name'] == container.name and said['image'] != container.said['image']:
                    container.said = said  # the one thing that may change: it is ended and started with the new image
        self._wake.set()

    def run(self) -> None:
        """The life of the pod."""
        try:
            while not self._ending:
                try:
                    self._sync()
                except (ApiError, OSError, subprocess.SubprocessError, NotYet, Unsupported, Misconfigured) as error:
                    log.warning('%s: %s', self.label, error)
                    self._conditions.set('PodReadyToStartContainers', self._sandbox is not None, 'Error', str(error))
                    threading.Event().wait(0.5)
                self._report()
                self._wake.wait(TICK)
                self._wake.clear()
            self._end_all(time.time() + (0.0 if self._gone else self._grace()))
            self._report()
        except BaseException:
            log.exception('%s: the worker has failed', self.label)
            raise
        finally:
            self._clean_up()
        self._confirm()

    @property
    def _ending(self) -> bool:
        return self._gone or 'deletionTimestamp' in self._pod['metadata']

    def _confirm(self) -> None:
        """Tells the API server that nothing of the pod is left here."""
        options = {'gracePeriodSeconds': 0, 'preconditions': {'uid': self.uid}}
        while not self._gone:
            try:
                self._node.api.delete(self._path, options)
                return
            except ApiError as error:
                if error.status in (404, 409):
                    return
                log.warning('%s: %s', self.label, error)
            except OSError as error:
                log.warning('%s: %s', self.label, error)
            threading.Event().wait(0.5)

    def _grace(self) -> float:
        given = self._pod['metadata'].get('deletionGracePeriodSeconds')
        return float(30 if given is None else given)

    # ------------------------------------------------------------------------------------------------------- its life

    def _sync(self) -> None:
        if self._phase in ('Succeeded', 'Failed'):
            return
        if self._sandbox is None:
            self._prepare()
        elif time.time() - self._renewed > RENEW:
            self._volumes.make(self._pod)
            self._renewed = time.time()
        for container in self._containers:
            if container.running:
                self._look_after(container)
        self._initialised = self._initialise()
        if self._initialised:
            self._run_apps()

    def _prepare(self) -> None:
        if self._pod['spec'].get('hostNetwork'):
            raise Unsupported('hostNetwork')
        self._directory.mkdir(parents=True, exist_ok=True)
        self._volumes.make(self._pod)
        self._sandbox = self._node.network.open()
        address = self._sandbox.address
        self._pod = self._pod | {'status': self._pod.get('status', {}) | self._addresses()}
        self._conditions.set('PodReadyToStartContainers', True)
        name = self._pod['spec'].get('hostname', self._pod['metadata']['name'])
        (self._directory / 'hosts').write_text(f'127.0.0.1\tlocalhost\n::1\tlocalhost\n{address}\t{name}\n')
        (self._directory / 'resolv.conf').write_text(self._node.resolver(self._pod))

    @property
    def _box(self) -> Sandbox:
        assert self._sandbox is not None, 'containers come after their network'
        return self._sandbox

    def _addresses(self) -> Object:
        address, node = self._box.address, self._node.network.node
        return {'podIP': address, 'podIPs': [{'ip': address}], 'hostIP': node, 'hostIPs': [{'ip': node}]}

    def _look_after(self, container: Container) -> None:
        """Takes note of an end; ends what is unwell, or what has another image now."""
        if container.reap():
            log.info('%s: %s ended: %s', self.label, container.name, container.last)
        elif container.unwell or container.image != container.said['image']:
            if container.stopping is None:
                log.info('%s: %s is ended: %s', self.label, container.name, container.unwell or 'another image')
            if time.time() - container.stop() > self._pod['spec'].get('terminationGracePeriodSeconds', 30):
                container.kill()

    def _again(self, container: Container) -> bool:
        """Whether a container that has ended is to be started again."""
        policy = self._pod['spec'].get('restartPolicy', 'Always')
        if container.kind is Kind.SIDECAR:
            return True
        if container.last is None:
            return True
        if container.kind is Kind.INIT or policy == 'OnFailure':
            return container.last.code != 0 and policy != 'Never'
        return policy == 'Always'

    def _initialise(self) -> bool:
        """Starts init containers in their order; whether all that come before the app's have done or started."""
        for container in self._containers:
            if container.kind is Kind.APP or (container.done and container.kind is Kind.INIT):
                continue
            if not container.running and self._again(container):
                self._start(container)
            if container.kind is Kind.INIT:
                if container.last is not None and not container.running and not self._again(container):
                    self._finish('Failed')
                return False
            # Once the app runs, a sidecar that starts again holds nobody up.
            if not container.started and not self._initialised:
                return False
        return True

    def _run_apps(self) -> None:
        apps = [container for container in self._containers if container.kind is Kind.APP]
        for container in apps:
            if not container.running and self._again(container):
                self._start(container)
        if any(container.running or self._again(container) for container in apps):
            self._phase = 'Running'
        else:
            self._finish('Succeeded' if all(container.done for container in apps) else 'Failed')

    def _finish(self, phase: str) -> None:
        """The pod's work is over: the sidecars end too."""
        self._end_all(time.time() + self._pod['spec'].get('terminationGracePeriodSeconds', 30))
        self._phase = phase

    def _start(self, container: Container) -> None:
        if not container.may_start:
            return
        try:
            process = self._launch(container)
        except Misconfigured as error:
            container.cannot_start(error.reason, str(error))
        except images.NoImage as error:
            container.cannot_start('ErrImagePull', str(error))
        except (NotYet, Unsupported) as error:
            container.cannot_start('CreateContainerConfigError', str(error))
        else:
            container.begin(process, self._box.address)

    def _launch(self, container: Container) -> Process:
        said = container.said
        image = images.find(self._node.images, said['image'])
        env = make.environment(said, self._pod, image, self._node.objects, self._node.variables())
        name = self._pod['spec'].get('hostname', self._pod['metadata']['name'])
        plan = {
            'network': self._box.namespace,
            'root': image.root,
            'open': image.open,
            'hostname': name[:63],
            'hosts': str(self._directory / 'hosts'),
            'resolv': str(self._directory / 'resolv.conf'),
            'message_path': said.get('terminationMessagePath', '/dev/termination-log'),
            'mounts': make.mounts(said, self._volumes.paths, self._volumes.read_only),
            'user': make.user(said, self._pod, image),
            'argv': make.argv(said, image, env),
            'env': env,
            'directory': said.get('workingDir', image.directory),
        }
        output = self._node.directory / 'logs' / f'{self.label.replace("/", "_")}_{said["name"]}_{container.count}.log'
        output.parent.mkdir(exist_ok=True)
        quote = said.get('terminationMessagePolicy') == 'FallbackToLogsOnError'
        process = Process(plan, self._directory / 'containers' / f'{said["name"]}-{container.count}', output, quote)
        where = self._node.directory / 'running' / self._pod['metadata']['namespace'] / self._pod['metadata']['name']
        where.mkdir(parents=True, exist_ok=True)
        facts = {'pid': process.pid, 'plan': str(process.plan), 'log': str(output)}
        (where / said['name']).write_text(json.dumps(facts))
        return process

    # -------------------------------------------------------------------------------------------------------- its end

    def _end_all(self, deadline: float) -> None:
        """Ends the app's containers together, then the sidecars one by one, the last first."""
        sidecars = [each for each in self._containers if each.kind is Kind.SIDECAR]
        self._end([each for each in self._containers if each.kind is not Kind.SIDECAR], deadline)
        for container in reversed(sidecars):
            self._end([container], max(deadline, time.time() + LEAST_GRACE) if not self._gone else deadline)

    def _end(self, some: list[Container], deadline: float) -> None:
        for container in some:
            container.stop()
        while any(container.running for container in some):
            if time.time() >= deadline or self._gone:
                for container in some:
                    container.kill()
            for container in some:
                container.reap()
            self._report()
            time.sleep(0.02)

    def _report(self) -> None:
        """Tells the API server how the pod is, if that is news."""
        if self._gone:
            return
        again = set() if self._ending else {each.name for each in self._containers if self._again(each)}
        status = pod_status(self._conditions, self._phase, self._containers, self._initialised, again)
        status |= {
            'startTime': stamp(self._started_at),
            'observedGeneration': self._pod['metadata'].get('generation', 1),
        }
        if self._sandbox is not None:
            status |= self._addresses()
        if status == self._reported:
            return
        try:
            self._node.api.patch(f'{self._path}/status', {'metadata': {'uid': self.uid}, 'status': status})
            self._reported = status
        except ApiError as error:
            if error.status in (404, 409):
                self._gone = True
            else:
                log.warning('%s: status: %s', self.label, error)
        except OSError as error:
            log.warning('%s: status: %s', self.label, error)

    def _clean_up(self) -> None:
        for container in self._containers:
            container.kill()
            while container.running and not container.reap():
                time.sleep(0.02)
        if self._sandbox is not None:
            self._node.network.close(self._sandbox)
        self._volumes.remove()
        shutil.rmtree(self._directory, ignore_errors=True)
        metadata = self._pod['metadata']
        if metadata['uid'] == self.uid:
            where: Path = self._node.directory / 'running' / metadata['namespace'] / metadata['name']
            shutil.rmtree(where, ignore_errors=True)
        self._node.left(self)
