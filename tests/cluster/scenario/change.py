"""What changes while calls go on: replicas, roots, the webhook's certificate, versions."""

import json
import os
import signal
import time

from bed.checks import CheckFailed, equal, eventually, holds, note, step, true

from scenario.world import SYSTEM, Calls, Side, failures


def no_failed_call(calls: Calls, what: str, least: int = 5) -> list[dict[str, str]]:
    """A check: since the last one, calls were made and none failed. If it was a moment ago, the next calls are waited for."""
    ended, end = calls.since(), time.monotonic() + 10
    while len(ended) < least and time.monotonic() < end:
        time.sleep(0.1)
        ended += calls.since()
    if failed := failures(ended):
        raise CheckFailed(f'{what}: {len(failed)} of {len(ended)} calls failed: {"; ".join(failed[:5])}')
    true(f'{what}: {len(ended)} calls, none failed', len(ended) >= least, ended)
    return ended


def scaled(west: Side, calls: Calls) -> None:
    """To three replicas and back."""
    step('scale')
    west.k('scale', 'deployment', 'currency', '--replicas=3')
    west.rolled_out('currency')
    seen: set[str] = set()

    def who() -> set[str]:
        ended = calls.since()
        if failed := failures(ended):
            raise CheckFailed(f'while it scales: {"; ".join(failed[:5])}')
        seen.update(call['who'] for call in ended if 'who' in call)
        return seen

    eventually('all three are called', who, lambda found: len(found) >= 3, 60)
    names = {pod['metadata']['name'] for pod in west.pods('app=rates')}
    true('they are those of the Deployment', seen >= names, (seen, names))
    west.k('scale', 'deployment', 'currency', '--replicas=1')
    eventually('back to one', lambda: len(west.objects('pods', 'app=rates')), lambda found: found == 1, 90)
    no_failed_call(calls, 'meanwhile')


def taken_over(west: Side, calls: Calls, what: str) -> None:
    """A check: after a rollout the new pod alone answers, and no call has failed meanwhile."""
    west.rolled_out('currency')
    eventually('the former pod is gone', lambda: len(west.objects('pods', 'app=rates')), lambda found: found == 1, 90)
    ended = no_failed_call(calls, what)
    equal('it is the new one that answers', ended[-1].get('who'), west.pod('app=rates'))


def root_replaced(east: Side, west: Side, calls: Calls) -> None:
    """West's root is replaced, east is told, and nobody starts anew because of it."""
    step("west's root is replaced")
    old = west.roots()
    west.k('delete', 'secret', 'dragoman-issuer', namespace=SYSTEM)
    both = eventually(
        'the new one is published beside the old one', west.roots, lambda found: found.count('BEGIN') == 2, 60
    )
    true('the old one is still there', old.strip() in both)
    tell_roots(east, west)
    no_failed_call(calls, 'meanwhile')
    began = time.monotonic()
    eventually('it signs once all have heard of it', lambda: signs_anew(west, old), seconds=120)
    note(f'after {time.monotonic() - began:.0f} s')
    no_failed_call(calls, 'meanwhile')
    west.k('rollout', 'restart', 'deployment', 'currency')
    taken_over(west, calls, 'pods with certificates under the new root take over')
    age(west)
    left = eventually(
        'the old root leaves when nothing under it can be in use', west.roots, lambda found: found.count('BEGIN') == 1, 90
    )
    true('and it is the old one that has left', left.strip() != old.strip())
    time.sleep(2)
    no_failed_call(calls, 'and still')
    tell_roots(east, west)
    no_failed_call(calls, 'and when east has forgotten it too')


def tell_roots(east: Side, west: Side) -> None:
    """East's chart is told the roots that west publishes now."""
    known = json.loads(east.helm('get', 'values', 'dragoman', '-n', SYSTEM, '-o', 'json'))['meshes']
    known[0]['bundle'] = west.roots()
    east.upgrade({'meshes': known})
    east.rolled_out('dragoman-controller', SYSTEM)
    wanted = known[0]['bundle'].count('BEGIN')
    eventually(
        'east publishes what west does',
        lambda: east.roots(west.trust_domain).count('BEGIN'),
        lambda found: found == wanted,
        60,
    )


def signs_anew(west: Side, old: str) -> bool:
    """Whether the time has come at which the new root signs: the ledger of roots says since when it is there."""
    notes = json.loads(
        west.get('configmap', 'dragoman-trust-bundle', r'{.metadata.annotations.dragoman\.dev/roots}', SYSTEM)
    )
    newest = max(note['since'] for note in notes.values())
    settled = time.mktime(time.strptime(newest[:19], '%Y-%m-%dT%H:%M:%S')) - time.timezone + 30
    return time.time() > settled + 1


def age(west: Side) -> None:
    """Lets the hours pass that certificates under the old root may have lived: the ledger is told an earlier end."""
    notes = json.loads(
        west.get('configmap', 'dragoman-trust-bundle', r'{.metadata.annotations.dragoman\.dev/roots}', SYSTEM)
    )
    for note_ in notes.values():
        if 'retire' in note_:
            note_['retire'] = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() - 1))
    west.k(
        'annotate',
        '--overwrite',
        'configmap',
        'dragoman-trust-bundle',
        f'dragoman.dev/roots={json.dumps(notes)}',
        namespace=SYSTEM,
    )


POD = """{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "labels": {"app": "probe"}}, "spec": {
    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{"name": "app", "image": "probe", "ports": [{"containerPort": 80}],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}"""


def injected(side: Side) -> bool:
    """Whether a pod that is made now would get a sidecar."""
    return 'dragoman' in side.k(
        'create', '--dry-run=server', '-o', 'jsonpath={.spec.initContainers[*].name}', '-f', '-', given=POD
    )


def webhook_renewed(side: Side) -> None:
    """The Secret with the webhook's keys is lost: a new CA, and no pod without a sidecar once it is there."""
    step("the webhook's certificate is replaced")
    hook = ('mutatingwebhookconfiguration', 'dragoman-injector', '{.webhooks[0].clientConfig.caBundle}')
    before = side.get(*hook)
    true('before, a pod gets a sidecar', injected(side))
    side.k('delete', 'secret', 'dragoman-injector-tls', namespace=SYSTEM)
    missed = 0
    end = time.monotonic() + 60
    while side.get(*hook) == before:
        missed += not injected(side)
        if time.monotonic() > end:
            raise CheckFailed('the CA of the webhook is the same after 60 s')
    holds('there is a new CA')
    for _ in range(10):
        missed += not injected(side)
    equal('meanwhile and after, every pod got its sidecar', missed, 0)


def controller_replaced(west: Side, calls: Calls) -> None:
    """It is killed, and upgraded."""
    step('the controller is killed, and upgraded')
    os.kill(west.controller_pid(), signal.SIGKILL)
    eventually(
        'it is started again',
        lambda: west.get(
            'pod',
            west.pod('app.kubernetes.io/name=dragoman', SYSTEM),
            '{.status.containerStatuses[0].restartCount}',
            SYSTEM,
        ),
        lambda found: found == '1',
    )
    west.rolled_out('dragoman-controller', SYSTEM)
    no_failed_call(calls, 'meanwhile')
    west.upgrade({'image': {'tag': 'next'}})
    west.rolled_out('dragoman-controller', SYSTEM)
    equal(
        'helm upgrade: it is the next one',
        {pod['spec']['containers'][0]['image'] for pod in west.pods('app.kubernetes.io/name=dragoman', SYSTEM)},
        {'dragoman-controller:next'},
    )
    no_failed_call(calls, 'meanwhile')


def sidecars_replaced(west: Side, calls: Calls) -> None:
    """Sidecars of the next version come with new pods."""
    step('sidecars are upgraded')
    equal(
        'until now they are the former ones',
        {pod['spec']['initContainers'][0]['image'] for pod in west.pods('app=rates')},
        {'dragoman:test'},
    )
    eventually('new pods would have the next one', lambda: injected(west))
    west.k('rollout', 'restart', 'deployment', 'currency')
    taken_over(west, calls, 'new pods take over')
    equal(
        'after a rollout they are the next ones',
        {pod['spec']['initContainers'][0]['image'] for pod in west.pods('app=rates')},
        {'dragoman:next'},
    )
