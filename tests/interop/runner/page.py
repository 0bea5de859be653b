"""Tells what came of a run: lines for the terminal, and a page in Markdown that is the same for the same results."""

from collections import Counter, defaultdict

from faults import Cells, Faults, excused
from judge import DRAFT, FAIL, NONE, PASS, SDK, VERDICTS, Cell
from peers import OPERATIONS, Lane, Peer
from reasons import brief

Pair = tuple[Lane, Lane]

INTRODUCTION = """\
The official A2A SDKs, unmodified, call each other through two Dragoman sidecars: the client of one SDK, the sidecar
beside it, mutual TLS, the sidecar beside the agent, the agent of another SDK. The two need not speak the same version
of A2A nor the same binding. A *lane* is one version and binding that an SDK speaks, as client or as agent; each client
lane is put together with agent lanes, and runs the same operations with each of them. This page is written by the runner,
[tests/interop](../tests/interop/README.md), which installs everything itself.
"""

LEGEND = """\
A cell is the verdict over all pairs of the run in which the lane took part:

* `pass`: the operation holds with all of them (but for faults of the other side, which are told in the other side's row).
* `sdk` and a number: in some pair it fails, and it fails for the same reason when two SDKs talk without any sidecar. The
  number leads to the proof below.
* `n/a`: the SDK has no API for it, or 0.3 has no such operation.
* `FAIL`: it fails, and no direct call shows why. That is the mesh's fault.

`auto` is an agent about which its sidecar was told nothing but the URL.
"""


def line(pair: Pair, cells: dict[str, Cell]) -> str:
    """One pair for the terminal."""
    counts = Counter(cell.verdict for cell in cells.values())
    told = ', '.join(f'{counts[verdict]} {verdict}' for verdict in VERDICTS if counts[verdict])
    failed = [f'\n    {names}: {why}' for why, names in failures_by_reason(cells).items()]
    return f'{"FAIL" if failed else "ok"} {pair[0].name} -> {pair[1].name}: {told}{"".join(failed)}'


def failures_by_reason(cells: dict[str, Cell]) -> dict[str, str]:
    """Reasons, and the operations that failed so: often one is behind many."""
    found = defaultdict(list)
    for name, cell in cells.items():
        if cell.verdict == FAIL:
            found[cell.why].append(name)
    return {why: 'everything' if len(names) == len(cells) > 1 else ', '.join(names) for why, names in found.items()}


def summary(cells: Cells) -> str:
    """The last lines of the terminal."""
    counts = Counter(cell.verdict for row in cells.values() for cell in row.values())
    return (
        f'{len(cells)} pairs of lanes; {counts[SDK]} fail as they do directly, {counts[NONE]} have no API, '
        f'{counts[DRAFT]} fail with a draft\n{counts[PASS]} passed, {counts[FAIL]} failed'
    )


def page(peers: list[Peer], cells: Cells, everything: int, dragoman: str, command: str) -> str:
    """The whole page."""
    faults = Faults(cells)
    counts = Counter(cell.verdict for row in cells.values() for cell in row.values())
    total = ', '.join(f'{counts[verdict]} {verdict}' for verdict in VERDICTS if counts[verdict])
    out = ['# Interoperability', '', *INTRODUCTION.splitlines(), '']
    out += [f'Run: `{command}` with {dragoman}; {len(cells)} of {everything} pairs of lanes, {sum(counts.values())} cells:']
    out += [f'{total}.', '', *versions(peers), *matrix(cells, faults), *pairs_of_lines(cells)]
    return '\n'.join(out + proofs(faults) + failures(cells)).rstrip() + '\n'


def versions(peers: list[Peer]) -> list[str]:
    """What took part, and what is said about drafts."""
    rows = [f'| {peer.name} | {peer.sdk} | {peer.version} |' for peer in peers]
    drafts = [f'{peer.name} {peer.version}: {peer.draft}. What fails there is `{DRAFT}`.' for peer in peers if peer.draft]
    return ['| line | SDK | version |', '| --- | --- | --- |', *rows, '', *drafts, '']


def matrix(cells: Cells, faults: Faults) -> list[str]:
    """A row for each lane in each role, a column for each operation."""
    names = [name for name in OPERATIONS if any(name in row for row in cells.values())]
    heads = [name.replace('/', '/ ') for name in names]
    out = ['## What works', '', *LEGEND.splitlines(), '']
    out += [f'| SDK | role | dialect | binding | {" | ".join(heads)} |', f'| {" | ".join(["---"] * (len(names) + 4))} |']
    for side, role in ((0, 'client'), (1, 'agent')):
        for lane in sorted({pair[side] for pair in cells}, key=order):
            rows = [row for pair, row in cells.items() if pair[side] == lane]
            told = [verdict(f'{lane.name} as {role}', lane, name, [row[name] for row in rows], faults) for name in names]
            out.append(f'| {lane.peer.name} | {role} | {lane.dialect} | {lane.binding} | {" | ".join(told)} |')
    return [*out, '']


def order(lane: Lane) -> tuple:
    """Lanes go by SDK line, then as lanes.json lists them."""
    lanes = [(one.dialect, one.binding) for one in (*lane.peer.agents, *lane.peer.clients)]
    return lane.peer.name, lanes.index((lane.dialect, lane.binding))


def verdict(role: str, lane: Lane, operation: str, column: list[Cell], faults: Faults) -> str:
    """What one operation comes to for a lane; the faults of the others count for it only if it has nothing else."""
    there = {cell.verdict for cell in column}
    found = [faults.of(operation, cell) for cell in column if excused(cell)]
    own = [fault for fault in found if fault.who == role or ' with ' in fault.who]
    if FAIL in there:
        return FAIL
    if DRAFT in there and (lane.peer.draft or there == {DRAFT}):
        return DRAFT
    if own or (found and PASS not in there):
        return f'{SDK} {",".join(str(number) for number in sorted({fault.number for fault in own or found}))}'
    return PASS if PASS in there else NONE


def pairs_of_lines(cells: Cells) -> list[str]:
    """How many cells passed between any two lines, and what became of the rest."""
    found = defaultdict(Counter)
    for (client, agent), row in cells.items():
        found[client.peer.name, agent.peer.name].update(cell.verdict for cell in row.values())
    clients, agents = (sorted({pair[side] for pair in found}) for side in (0, 1))
    out = ['## Who calls whom', '', 'Clients in rows, agents in columns: cells passed, and what the others are.', '']
    out += [f'| | {" | ".join(agents)} |', f'| {" | ".join(["---"] * (len(agents) + 1))} |']
    for client in clients:
        told = [counted(found[client, agent]) for agent in agents]
        out.append(f'| {client} | {" | ".join(told)} |')
    return [*out, '']


def counted(counts: Counter) -> str:
    """Such as `32, 1 n/a`."""
    words = [str(counts[PASS])] if counts[PASS] else []
    return ', '.join(words + [f'{counts[kind]} {kind}' for kind in VERDICTS if kind != PASS and counts[kind]])


def proofs(faults: Faults) -> list[str]:
    """The faults behind the `sdk` cells, with the direct pair that proves each."""
    out = ['## What the SDKs themselves cannot do', '']
    if not faults.all:
        return [*out, 'Nothing.', '']
    out += ['| | who | operations | cells | proof: without any sidecar | what is said there, or what it means |']
    out += ['| --- | --- | --- | --- | --- | --- |']
    for one in faults.all:
        told = f'{escaped(one.proof)} | {escaped(brief(one.said))}'
        out.append(f'| {one.number} | {one.who} | {", ".join(one.operations)} | {one.cells} | {told} |')
    return [*out, '']


def failures(cells: Cells) -> list[str]:
    """The `FAIL` cells, pair by pair."""
    rows = [
        f'| {client.name} | {agent.name} | {names} | {escaped(brief(why))} |'
        for (client, agent), row in cells.items()
        for why, names in failures_by_reason(row).items()
    ]
    if not rows:
        return []
    return ['## Failures', '', '| client | agent | operations | why |', '| --- | --- | --- | --- |', *rows, '']


def escaped(text: str) -> str:
    """Text that stands in a cell of a table as it is."""
    for mark in '\\|*_<[]`#':
        text = text.replace(mark, f'\\{mark}')
    return text
