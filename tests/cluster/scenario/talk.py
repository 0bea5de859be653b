"""What the agents say to each other, who may, and who is known."""

import json
from pathlib import Path
from typing import Any

from bed.checks import equal, eventually, step, true
from bed.mesh import STATE, corefile

from scenario.begin import together, turned
from scenario.world import SYSTEM, TRAVEL, Side, on_page

# A stream of the interop agent, as the caller shows it.
STREAM = ['status_update: step 1', 'artifact_update: chunk 1', 'artifact_update: chunk 2', 'artifact_update: chunk 3']
ALLOW = {
    'policy': {
        'allow': [
            {'from': ['spiffe://west.example/**'], 'agents': ['*'], 'operations': ['*']},
            {'from': ['spiffe://east.example/ns/travel/sa/*'], 'agents': ['currency'], 'operations': ['*']},
        ]
    }
}


def denied(east: Side, west: Side) -> None:
    """By default nobody from another trust domain may call."""
    step('to be believed is not to be allowed')
    planner = east.pod('app=planner')
    said = east.dragoman_fails(planner, 'check', 'currency.travel.west')
    true('dragoman check: the policy of the other side denies', 'PERMISSION_DENIED' in said or 'policy' in said, said)
    equal('nothing is wrong otherwise', east.dragoman(planner, 'check').count('failed'), 0)
    west.k(
        'patch',
        'deployment',
        'currency',
        '-p',
        json.dumps({'spec': {'template': {'metadata': {'annotations': {'dragoman.dev/settings': json.dumps(ALLOW)}}}}}),
    )
    west.rolled_out('currency')
    eventually(
        'allowed by an annotation, it is well', lambda: east.dragoman(planner, 'check', 'currency.travel.west'), seconds=60
    )


def allowed(east: Side, west: Side) -> None:
    """Both sides allow each other what docs/kubernetes.md shows: to call, and to know of."""
    step('each mesh allows the other')
    currency, unknown = west.pod('app=rates'), 'planner.travel.east'
    found = listed(west, currency)
    true('by default a directory is told of nobody', 'currency.travel.west' in found and unknown not in found, found)
    said = west.dragoman_fails(currency, 'check', unknown)
    true('what one agent allows, others do not', 'PERMISSION_DENIED' in said or 'policy' in said, said)
    together(lambda side: side.upgrade(turned(on_page('# allow-west.yaml'), side)), (east, west))
    for side in (east, west):
        side.rolled_out('dragoman-controller', SYSTEM)
        side.k('rollout', 'restart', 'deployment')
    for side, agent, selector in ((east, 'planner', 'app=planner'), (west, 'currency', 'app=rates')):
        side.rolled_out(agent)
        eventually(f'{side.name}: its pod is new', lambda: side.objects('pods', selector), lambda found: len(found) == 1, 60)
    for side, selector, other in ((east, 'app=planner', 'currency.travel.west'), (west, 'app=rates', unknown)):
        eventually(f'{side.name}: dragoman agents --all has {other}, with its skills', lambda: skills(side, selector, other))
        eventually(f'{side.name}: and it may be called', lambda: side.dragoman(side.pod(selector), 'check', other))


def listed(side: Side, pod: str) -> dict[str, dict[str, Any]]:
    """The agents that a pod is told of, by name."""
    return {each['name']: each for each in json.loads(side.dragoman(pod, 'agents', '--all', '--json'))}


def skills(side: Side, selector: str, agent: str) -> list[dict[str, Any]]:
    """What an agent can do, as another is told."""
    return listed(side, side.pod(selector)).get(agent, {}).get('skills', [])


def calls(east: Side, caller: list[str]) -> None:
    """The official SDK, unmodified."""
    step('an agent of east calls one of west, directly')
    planner = east.pod('app=planner')

    def send(what: str, text: str) -> str:
        return east.call(planner, caller, 'currency.travel.west', what, text)

    eventually('send', lambda: send('send', 'hello ü€😀'), lambda found: found == 'hello ü€😀')
    found = send('stream', 'stream').split('\n')
    equal('stream', [line for line in found if line in STREAM], STREAM)
    absent = east.dragoman_fails(planner, 'check', 'nobody')
    true('cluster and directory know nobody', 'NXDOMAIN' in absent and 'the directory:' not in absent, absent)
    equal('an agent finds itself as well', east.call(planner, caller, 'planner', 'send', 'who'), planner)
    metrics = east.mesh.inside(
        TRAVEL,
        planner,
        'agent',
        'python3',
        '-c',
        'import urllib.request as u; print(u.urlopen("http://127.0.0.1:2690/metrics").read().decode())',
    )
    crossed = [
        line
        for line in metrics.split('\n')
        if line.startswith('dragoman_calls_total') and 'currency.travel.west' in line and 'outbound' in line
    ]
    true('its sidecar has counted them', crossed, metrics[:2000])


def peer_seen(west: Side) -> None:
    """The callee's sidecar knows the caller by name."""
    logs = '\n'.join(file.read_text() for file in (west.mesh.node / 'logs').glob('travel_currency-*_dragoman_*.log'))
    true(
        'the callee knows the caller by its SPIFFE ID', '"spiffe://east.example/ns/travel/sa/planner"' in logs, logs[-2000:]
    )


def known(east: Side, west: Side, finder: Path) -> None:
    """The directories; `finder` is the command dns-aid."""
    step('who is there')
    planner = east.pod('app=planner')

    both = {'planner.travel.east', 'currency.travel.west'}
    eventually('dragoman agents --all: both agents', lambda: set(listed(east, planner)), lambda found: found >= both, 90)
    stub(east, west, 'planner')
    stub(west, east, 'currency')
    command = [str(finder), '--quiet', 'discover', f'{TRAVEL}.a2a.east.local', '--json']
    eventually(
        'dns-aid, unmodified, finds it from a pod',
        lambda: json.loads(east.mesh.inside(TRAVEL, planner, 'agent', *command))['agents'],
        lambda found: [each['name'] for each in found] == ['planner'],
    )


def stub(side: Side, other: Side, agent: str) -> None:
    """The cluster's own nameserver is told of the directory's zone."""
    plan = side.mesh.plan
    zone = f'a2a.{plan.domain}'
    more = documented(plan.domain, side.directory).replace('{\n', f'{{\n    bind {plan.node}\n', 1)
    side.mesh.write_corefile(corefile(plan, STATE / side.name, [other.mesh.plan], more))
    name = f'_a2a._tcp.{agent}.{TRAVEL}.{zone}'
    eventually(f'DNS: {name}', lambda: side.mesh.dig(name, 'SRV'), lambda found: found and ' 2643 ' in found[0])


def documented(domain: str, directory: str) -> str:
    """The block for CoreDNS that docs/directory.md shows, for a cluster domain and a directory's address."""
    found = on_page('a2a.cluster.local:53 {\n', 'directory.md', '')
    return found.replace('cluster.local', domain).replace('10.96.0.53', directory)
