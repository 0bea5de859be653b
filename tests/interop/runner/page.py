"""Tells what came of a run: lines for the terminal, and a page in Markdown that is the same for the same results."""

from collections import Counter, defaultdict

from judge import FAIL, NONE, PASS, SDK, Cell, Directly, steady
from peers import OPERATIONS, Lane, Peer

Cells = dict[tuple[Lane, Lane], dict[str, Cell]]


def line(pair: tuple[Lane, Lane], cells: dict[str, Cell]) -> str:
    """One pair for the terminal."""
    counts = Counter(cell.verdict for cell in cells.values())
    words = ', '.join(f'{counts[verdict]} {verdict}' for verdict in (PASS, SDK, NONE, FAIL) if counts[verdict])
    failed = [f'\n    {names}: {why}' for why, names in failures_by_reason(cells).items()]
    return f'{"FAIL" if failed else "ok"} {pair[0].name} -> {pair[1].name}: {words}{"".join(failed)}'


def failures_by_reason(cells: dict[str, Cell]) -> dict[str, str]:
    """Reasons, and the operations that failed so: often one is behind many."""
    found = defaultdict(list)
    for name, cell in cells.items():
        if cell.verdict == FAIL:
            found[cell.why].append(name)
    return {why: 'everything' if len(names) == len(cells) > 1 else ', '.join(names) for why, names in found.items()}


def summary(cells: Cells) -> str:
    """The last line."""
    counts = Counter(cell.verdict for row in cells.values() for cell in row.values())
    return (
        f'{len(cells)} pairs of lanes; {counts[SDK]} fail as they do directly, {counts[NONE]} have no API\n'
        f'{counts[PASS]} passed, {counts[FAIL]} failed'
    )


def page(peers: list[Peer], cells: Cells, directly: Directly, everything: int, dragoman: str, command: str) -> str:
    """The whole page."""
    return '\n'.join(
        [
            '# Interoperability',
            '',
            'The official A2A SDKs, unmodified, call each other through two Dragoman sidecars: the client of one SDK,',
            'the sidecar beside it, mutual TLS, the sidecar beside the agent, the agent of another SDK. Client and agent',
            'need not speak the same version of A2A nor the same binding. This page is written by the runner.',
            '',
            f'Run: `{command}` with {dragoman}, {len(cells)} of {everything} pairs of lanes.',
            '',
            *versions(peers),
            *matrix(cells),
            *excuses(cells),
            *gaps(cells),
            *remarks(cells),
            *failures(cells),
            *directs(directly),
        ]
    )


def versions(peers: list[Peer]) -> list[str]:
    """What took part."""
    rows = [f'| {peer.name} | {peer.sdk} | {peer.version} |' for peer in peers]
    return ['| peer | SDK | version |', '| --- | --- | --- |', *rows, '']


def matrix(cells: Cells) -> list[str]:
    """A row for each lane in each role, a column for each operation."""
    names = [name for name in OPERATIONS if any(name in row for row in cells.values())]
    out = [
        '## What works',
        '',
        'A cell counts the pairs in which the lane took part: how many passed; `sdk`: the SDK fails in the same operation',
        'without any sidecar; `n/a`: the SDK has no API for it, or 0.3 has no such operation; `FAIL`: the mesh is at fault.',
        '`auto` is an agent about which the sidecar was told nothing but its URL.',
        '',
        f'| SDK | role | dialect | binding | {" | ".join(names)} |',
        f'| {" | ".join(["---"] * (len(names) + 4))} |',
    ]
    for side, role in ((0, 'client'), (1, 'agent')):
        for lane in dict.fromkeys(pair[side] for pair in cells):
            rows = [row for pair, row in cells.items() if pair[side] == lane]
            counts = [count([row[name].verdict for row in rows if name in row]) for name in names]
            out.append(f'| {lane.peer.name} | {role} | {lane.dialect} | {lane.binding} | {" | ".join(counts)} |')
    return [*out, '']


def count(verdicts: list[str]) -> str:
    """Such as `12`, `10, 2 sdk` or `n/a`."""
    counts = Counter(verdicts)
    if set(counts) == {NONE}:
        return NONE
    words = [f'{counts[PASS]}'] if counts[PASS] else []
    return ', '.join(words + [f'{counts[kind]} {kind}' for kind in (SDK, NONE, FAIL) if counts[kind]])


def excuses(cells: Cells) -> list[str]:
    """The `sdk` cells by their proof."""
    found = defaultdict(list)
    for pair, row in cells.items():
        for name, cell in row.items():
            if cell.verdict == SDK:
                found[cell.who, name, cell.proof].append(pair)
    out = ['## What the SDKs themselves cannot do (`sdk`)', '']
    if not found:
        return [*out, 'Nothing.', '']
    out += ['| who | operation | pairs | what is said without any sidecar |', '| --- | --- | --- | --- |']
    for (who, name, proof), pairs in sorted(found.items(), key=lambda item: item[0]):
        out.append(f'| {who} | {name} | {len(pairs)} | {escaped(proof)} |')
    return [*out, '']


def gaps(cells: Cells) -> list[str]:
    """The `n/a` cells by their reason."""
    return listing('## What the SDKs have no API for (`n/a`)', reasons(cells, NONE))


def remarks(cells: Cells) -> list[str]:
    """What passed with a remark."""
    return listing('## What passed with a remark', reasons(cells, PASS))


def reasons(cells: Cells, verdict: str) -> dict[tuple[str, str], set[str]]:
    """Operation and reason, and the client lanes that gave it."""
    found = defaultdict(set)
    for (client, _), row in cells.items():
        for name, cell in row.items():
            if cell.verdict == verdict and cell.why:
                found[name, steady(cell.why)].add(client.name)
    return found


def listing(title: str, found: dict[tuple[str, str], set[str]]) -> list[str]:
    """A table of operations, reasons and client lanes."""
    if not found:
        return []
    out = [title, '', '| operation | why | clients |', '| --- | --- | --- |']
    for (name, why), lanes in sorted(found.items()):
        out.append(f'| {name} | {escaped(why)} | {", ".join(sorted(lanes))} |')
    return [*out, '']


def failures(cells: Cells) -> list[str]:
    """The `FAIL` cells, pair by pair."""
    out = ['## Failures', '']
    rows = [
        f'| {client.name} | {agent.name} | {names} | {escaped(steady(why))} |'
        for (client, agent), row in cells.items()
        for why, names in failures_by_reason(row).items()
    ]
    if not rows:
        return [*out, 'None.', '']
    return [*out, '| client | agent | operations | why |', '| --- | --- | --- | --- |', *rows, '']


def directs(directly: Directly) -> list[str]:
    """What was tried without sidecars, and what failed there."""
    out = [
        '## Without sidecars',
        '',
        'Each lane was first tried directly, with the other side of the same SDK line where there is one; and where',
        'something failed, each of the two sides with another SDK, to learn whose fault it is.',
        '',
        '| client | agent | tried | fails directly |',
        '| --- | --- | --- | --- |',
    ]
    for (client, agent), results in sorted(directly.trials.items(), key=lambda trial: [lane.name for lane in trial[0]]):
        failed = [name for name, result in results.items() if result.result == 'fail']
        out.append(f'| {client.name} | {agent.name} | {len(results)} | {", ".join(failed) or "nothing"} |')
    return [*out, '']


def escaped(text: str) -> str:
    """Text that stands in a cell of a table as it is."""
    for mark in '\\|*_<>[]`#':
        text = text.replace(mark, f'\\{mark}')
    return text
