"""From two empty clusters to two plain agents with sidecars."""

import json
import re
import shlex
import ssl
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bed.checks import CheckFailed, equal, eventually, holds, step, true
from bed.mesh import EAST, STATE, WEST, Mesh, corefile
from bed.programs import run

from scenario.world import MANIFESTS, REPOSITORY, RESTRICTED, SYSTEM, TRAVEL, Side, on_page

SETTLE = '30s'  # a new root is believed by all before it signs; 15 minutes by default


def clusters(tools: Path, images: Path, directory: Path) -> tuple[Side, Side]:
    """Two clusters, with names of each other."""
    step('two clusters come up')
    plans = (EAST, WEST)
    meshes = [Mesh(plan, tools, images, directory / plan.name) for plan in plans]
    for mesh in meshes:
        mesh.lay()

    def up(mesh: Mesh) -> None:
        mesh.up(corefile(mesh.plan, STATE / mesh.plan.name, [plan for plan in plans if plan is not mesh.plan]))

    with ThreadPoolExecutor() as both:
        list(both.map(up, meshes))
    sides = tuple(Side(mesh, directory / mesh.plan.name / 'helm') for mesh in meshes)
    for side in sides:
        eventually(f'{side.name} takes pods', (side.mesh.node / 'ready').exists)
        for namespace, labels in ((SYSTEM, [RESTRICTED]), (TRAVEL, [RESTRICTED, 'dragoman.dev/inject=true'])):
            side.mesh.kubectl('create', 'namespace', namespace)
            side.mesh.kubectl('label', 'namespace', namespace, *labels)
    east, west = sides
    equal("west's nameserver knows west", west.mesh.dig('kubernetes.default.svc.west.local'), ['10.92.0.1'])
    equal("and east's knows it too", east.mesh.dig('kubernetes.default.svc.west.local'), ['10.92.0.1'])
    return east, west


def values(side: Side) -> dict[str, Any]:
    """What the chart is told."""
    return {
        'mesh': {'name': side.name, 'trustDomain': side.trust_domain, 'clusterDomain': side.mesh.plan.domain},
        'image': {'tag': 'test'},
        'controller': {'config': {'issuer': {'settle': SETTLE}}},
    }


def install(sides: tuple[Side, Side]) -> None:
    """`helm install`, the same in both."""
    step('helm install')
    together(lambda side: side.upgrade(values(side)), sides)
    for side in sides:
        holds(f'{side.name}: the release is there, and its Deployment available')
        trusted(side)
    together(lambda side: side.helm('test', 'dragoman', '-n', SYSTEM), sides)
    holds('helm test: a sidecar gets an identity, and finds nothing wrong')


def together(do: Callable[[Side], object], sides: tuple[Side, Side]) -> None:
    """Does something on both sides at once."""
    with ThreadPoolExecutor() as both:
        list(both.map(do, sides))


def trusted(side: Side) -> None:
    """What the controller has made for others to believe it."""
    hook = ('mutatingwebhookconfiguration', 'dragoman-injector', '{.webhooks[0].clientConfig.caBundle}')
    eventually(f'{side.name}: the webhook has a CA', lambda: side.get(*hook))
    eventually(f'{side.name}: a root is published', lambda: side.roots(), lambda found: found.count('BEGIN') == 1)


def federate(east: Side, west: Side) -> None:
    """Each is told the other's roots, nameserver and directory."""
    step('each mesh is told of the other')
    other = {east.name: west, west.name: east}
    together(lambda side: tell(side, other[side.name]), (east, west))
    believed(east, west)
    believed(west, east)


def tell(side: Side, other: Side) -> None:
    """Upgrades one side with what docs/kubernetes.md says of the other."""
    roots = textwrap.indent(other.roots().strip() + '\n', '    ')
    example = re.compile(r'^ +-----BEGIN.*-----END CERTIFICATE-----\n', re.DOTALL | re.MULTILINE)
    text = turned(on_page('# west.yaml'), side)
    for what, here in (
        ('cluster.local', other.mesh.plan.domain),
        ('10.97.0.10', other.mesh.plan.dns),
        ('10.97.0.53', other.directory),
        (''.join(example.findall(text)), roots),
    ):
        if not what or what not in text:
            raise CheckFailed(f'docs/kubernetes.md, west.yaml: nothing to put {here!r} in the place of')
        text = text.replace(what, here)
    side.upgrade(text)
    side.rolled_out('dragoman-controller', SYSTEM)


def turned(text: str, side: Side) -> str:
    """What the page shows for east; in west it is the other way round."""
    names = {'east': 'east', 'west': 'west'} if side.name == 'east' else {'east': 'west', 'west': 'east'}
    return re.sub('east|west', lambda found: names[found[0]], text)


def believed(side: Side, other: Side) -> None:
    """One side publishes the roots of the other."""
    eventually(f'{side.name} publishes the roots of {other.name}', lambda: side.roots(other.trust_domain))


def example(east: Side) -> None:
    """Steps 3 and 4 of docs/kubernetes.md, with the file of agents that it names."""
    step('two agents, as docs/kubernetes.md begins')
    for line in on_page('kubectl create namespace travel\n', language='').splitlines():
        _, verb, *words = shlex.split(line)
        if verb in {'apply', 'rollout'}:  # the namespace is there
            east.mesh.kubectl(verb, *(str(REPOSITORY / word) if '/' in word else word for word in words), seconds=90)
            holds(line)
    for shown in on_page('$ kubectl exec', language='console').split('$ ')[1:]:
        line, answer = shown.split('\n', 1)
        words = shlex.split(line)
        [agent] = [word.removeprefix('deployment/') for word in words if word.startswith('deployment/')]
        call = words[words.index('/dragoman') + 1 :]
        eventually(line, lambda: east.dragoman(east.pod(f'app={agent}'), *call), lambda found: found.strip() == answer.strip())
    east.k('delete', '-f', REPOSITORY / 'examples/two-agents.yaml')
    eventually(
        'they go, and the Services with them',
        lambda: east.objects('pods') + east.objects('services', 'app.kubernetes.io/managed-by=dragoman'),
        lambda found: found == [],
        60,
    )


def agents(east: Side, west: Side) -> None:
    """Two plain Deployments."""
    step('two Deployments that know nothing of Dragoman')
    for side, name in ((east, 'planner'), (west, 'currency')):
        manifest = MANIFESTS / f'{name}.yaml'
        true(f'{manifest.name} says nothing of a sidecar', 'initContainers' not in manifest.read_text())
        side.k('apply', '-f', manifest)
    east.rolled_out('planner')
    west.rolled_out('currency')
    holds('their pods are ready, in namespaces that are "restricted"')
    injected(east, 'planner', 'app=planner')
    injected(west, 'currency', 'app=rates')


def injected(side: Side, agent: str, selector: str) -> None:
    """What has become of the pod of an agent."""
    pod = side.pods(selector)[0]
    metadata = pod['metadata']
    first = [(each['name'], each.get('restartPolicy')) for each in pod['spec']['initContainers']]
    equal(f'{agent}: there is a native sidecar', first, [('dragoman', 'Always')])
    sidecar, container = pod['spec']['initContainers'][0], pod['spec']['containers'][0]
    at_api = '/var/run/secrets/kubernetes.io/serviceaccount'
    held = [{each['mountPath']: each['name'] for each in one['volumeMounts']}.get(at_api, '') for one in (sidecar, container)]
    true(
        f'{agent}: a token for the API server is given to the agent alone',
        held[0] == 'dragoman-no-token' and held[1].startswith('kube-api-access-'),
    )
    wanted = {'dragoman.dev/agent': agent, f'agent.dragoman.dev/{agent}': 'true', 'dragoman.dev/injected': 'true'}
    equal(f'{agent}: its labels say who it is', {name: metadata['labels'].get(name) for name in wanted}, wanted)
    home = json.loads(metadata['annotations']['dragoman.dev/config'])['mesh']
    equal(f'{agent}: its configuration is of this mesh', (home['name'], home['namespace']), (side.name, TRAVEL))
    headless = '{.spec.clusterIP} {.spec.ports[0].name}:{.spec.ports[0].port}'
    eventually(
        f'{agent}: a headless Service is in front',
        lambda: side.get('service', f'{agent}-a2a', headless),
        lambda found: found == 'None a2a:2643',
    )
    address = pod['status']['podIP']
    name = f'{agent}-a2a.{TRAVEL}.svc.{side.mesh.plan.domain}'
    eventually(f'{agent}: its name leads to the pod', lambda: side.mesh.dig(name), lambda found: found == [address])
    equal(
        f'{agent}: its certificate says who it is', shown(address), f'spiffe://{side.trust_domain}/ns/{TRAVEL}/sa/{agent}'
    )


def shown(address: str) -> str:
    """The SPIFFE ID in the certificate at a mesh port."""
    leaf = ssl.get_server_certificate((address, 2643), timeout=5)
    names = run('openssl', 'x509', '-noout', '-ext', 'subjectAltName', given=leaf)
    return ''.join(word.removeprefix('URI:').rstrip(',') for word in names.split() if word.startswith('URI:'))
