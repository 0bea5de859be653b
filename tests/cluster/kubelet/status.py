"""The status of a pod, as its node reports it."""

import time
from typing import Any

from kubelet.runs import Container, Kind, Run

Object = dict[str, Any]


def stamp(seconds: float) -> str:
    """A time as Kubernetes writes it."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))


def ended(run: Run) -> Object:
    """The state of a run that is over."""
    reason = 'Completed' if run.code == 0 else 'StartError' if run.code == 128 else 'Error'
    said = {'exitCode': run.code, 'reason': reason, 'startedAt': stamp(run.began), 'finishedAt': stamp(run.ended)}
    if run.signal:
        said['signal'] = run.signal
    if run.message:
        said['message'] = run.message
    return {'terminated': said}


def container_status(container: Container, again: bool) -> Object:
    """The status of a container; `again`: when it has ended, it is to be started again."""
    if container.process is not None:
        state, last = {'running': {'startedAt': stamp(container.process.began)}}, container.last
    elif container.last is not None and not again:
        state, last = ended(container.last), container.before
    else:
        reason, why = container.waiting
        state, last = {'waiting': {'reason': reason} | ({'message': why} if why else {})}, container.last
    ready = container.ready if container.kind is not Kind.INIT else container.done
    return {
        'name': container.name,
        'image': container.image or container.said['image'],
        'imageID': f'test://{container.image}' if container.image else '',
        'containerID': f'test://{container.name}-{container.count}' if container.count else '',
        'restartCount': max(container.count - 1, 0),
        'ready': ready,
        'started': container.started,
        'state': state,
        'lastState': ended(last) if last is not None else {},
    }


class Conditions:
    """The conditions of a pod, each with the time of its last change."""

    def __init__(self) -> None:
        self._known: dict[str, Object] = {}

    def set(self, kind: str, true: bool, reason: str = '', why: str = '') -> None:
        """Says whether a condition holds."""
        verdict, known = 'True' if true else 'False', self._known.get(kind)
        since = known['lastTransitionTime'] if known and known['status'] == verdict else stamp(time.time())
        said = {'type': kind, 'status': verdict, 'lastTransitionTime': since}
        if reason and not true:
            said |= {'reason': reason} | ({'message': why} if why else {})
        self._known[kind] = said

    def all(self) -> list[Object]:
        """All of them."""
        return list(self._known.values())


def pod_status(
    conditions: Conditions, phase: str, containers: list[Container], initialised: bool, again: set[str]
) -> Object:
    """The status of a pod, without addresses; `again` names the containers that are started whenever they end."""
    over = phase in ('Succeeded', 'Failed')
    lasting = [each for each in containers if each.kind is not Kind.INIT]
    unready = [each.name for each in lasting if not each.ready]
    reason = {'Succeeded': 'PodCompleted', 'Failed': 'PodFailed'}.get(phase, 'ContainersNotReady')
    why = '' if over else f'containers with unready status: [{" ".join(unready)}]'
    conditions.set('Initialized', initialised, 'ContainersNotInitialized')
    conditions.set('ContainersReady', not unready and not over, reason, why)
    conditions.set('Ready', not unready and not over, reason, why)
    conditions.set('PodScheduled', True)
    shown = {each.name: container_status(each, each.name in again and not over) for each in containers}
    return {
        'phase': phase,
        'conditions': conditions.all(),
        'initContainerStatuses': [shown[each.name] for each in containers if each.kind is not Kind.APP],
        'containerStatuses': [shown[each.name] for each in containers if each.kind is Kind.APP],
    }
