"""An agent without the injector, a Job, and the end."""

from pathlib import Path
from typing import Any

from bed.checks import equal, eventually, holds, step, true

from scenario.change import injected, no_failed_call
from scenario.world import CHARTS, MANIFESTS, RESTRICTED, SYSTEM, TRAVEL, Calls, Side


def by_its_own_chart(east: Side, caller: list[str], directory: Path) -> None:
    """charts/agent, in a namespace that nobody injects into."""
    step('an agent by its own chart, without the injector')
    east.mesh.kubectl('create', 'namespace', 'weather')
    east.mesh.kubectl('label', 'namespace', 'weather', RESTRICTED)
    roots = directory / 'roots.pem'
    roots.write_text(east.roots())
    says = {
        'agent.name': 'weather',
        'agent.image': 'planner:1',
        'agent.port': '9000',
        'sidecar.image.tag': 'test',
        'mesh.name': east.name,
        'mesh.trustDomain': east.trust_domain,
        'mesh.clusterDomain': east.mesh.plan.domain,
        'agent.env[0].name': 'PORT',
    }
    sets = [word for name, value in says.items() for word in ('--set', f'{name}={value}')]
    east.helm(
        'install',
        'weather',
        CHARTS / 'agent',
        '-n',
        'weather',
        *sets,
        '--set-string',
        'agent.env[0].value=9000',
        '--set-file',
        f'identity.issuer.roots={roots}',
        '--wait',
        '--timeout=120s',
    )
    holds('helm install: its pod is ready')
    planner = east.pod('app=planner')
    eventually(
        'the others call it',
        lambda: east.call(planner, caller, 'weather.weather', 'send', 'who'),
        lambda found: found.startswith('weather-'),
    )
    east.helm('uninstall', 'weather', '-n', 'weather', '--wait')
    eventually(
        'helm uninstall leaves nothing of it',
        lambda: names(east.objects('all', 'app.kubernetes.io/instance=weather', 'weather')),
        lambda found: found == [],
    )


def job(east: Side) -> None:
    """A Job with a sidecar."""
    step('a Job that calls an agent')
    east.k('apply', '-f', MANIFESTS / 'report.yaml')
    eventually(
        'completes, and its sidecar ends with it',
        lambda: east.get('job', 'report', '{.status.succeeded}'),
        lambda found: found == '1',
        60,
    )
    pod = east.pods('app=report')[0]
    equal('it had one', [each['name'] for each in pod['spec']['initContainers']], ['dragoman'])
    logs = sorted((east.mesh.node / 'logs').glob(f'{TRAVEL}_{pod["metadata"]["name"]}_caller_*.log'))
    equal('and got its answer', logs[-1].read_text().strip(), 'report')


def uninstall(east: Side, west: Side, calls: Calls) -> None:
    """`helm uninstall`: pods go on until their certificates end."""
    step('helm uninstall')
    calls.since()
    without(east)
    without(west)
    no_failed_call(calls, 'pods talk on')
    calls.stop()
    gone(east, 'planner')
    gone(west, 'currency')


def without(side: Side) -> None:
    """One side without Dragoman."""
    ours = 'app.kubernetes.io/part-of=dragoman'
    side.helm('uninstall', 'dragoman', '-n', SYSTEM, '--wait', '--timeout=90s')
    equal(f'{side.name}: no webhook', side.objects('mutatingwebhookconfigurations', '', '*'), [])
    for kinds in ('deployments,services,serviceaccounts,roles,rolebindings', 'clusterroles,clusterrolebindings'):
        equal(f'{side.name}: no {kinds.replace(",", ", ")}', names(side.objects(kinds, ours, '*')), [])
    eventually(f'{side.name}: no controller', lambda: side.objects('pods', '', SYSTEM), lambda found: found == [])
    true(f'{side.name}: new pods are plain again', not injected(side))


def gone(side: Side, agent: str) -> None:
    """An agent without its Deployment."""
    side.k('delete', 'deployment', agent)
    eventually(
        f'{side.name}: with its Deployment the Service of {agent} goes',
        lambda: names(side.objects('services', 'app.kubernetes.io/managed-by=dragoman', '*')),
        lambda found: found == [],
        60,
    )


def names(objects: list[dict[str, Any]]) -> list[str]:
    """The names of objects."""
    return [each['metadata']['name'] for each in objects]
