"""Whose faults the `sdk` cells are: for the page, as few as tell it all."""

from collections import Counter
from dataclasses import dataclass, field

from judge import SDK, Cell
from peers import OPERATIONS, Lane
from reasons import same

Cells = dict[tuple[Lane, Lane], dict[str, Cell]]


@dataclass
class Fault:
    """What one lane (or two together) cannot do, and the direct call that shows it."""

    who: str
    proof: str
    said: str
    number: int = 0
    operations: list[str] = field(default_factory=list)
    cells: int = 0


class Faults:
    """The faults of a run, numbered: clients, agents, and last the pairs of which it is not known which side it is."""

    def __init__(self, cells: Cells):
        self._alone = {
            (cell.who, name)
            for row in cells.values()
            for name, cell in row.items()
            if excused(cell) and cell.fault != 'pair'
        }
        blamed: dict[tuple[str, str], list[Cell]] = {}
        for row in cells.values():
            for name, cell in row.items():
                if excused(cell):
                    blamed.setdefault((self.who(name, cell), name), []).append(cell)
        self.all: list[Fault] = []
        self._by: dict[tuple[str, str], Fault] = {}
        for (who, name), some in sorted(blamed.items(), key=lambda item: place(*item[0])):
            told = commonest(some)
            fault = self._alike(who, told) or self._new(who, told)
            fault.operations.append(name)
            fault.cells += len(some)
            self._by[who, name] = fault

    def who(self, operation: str, cell: Cell) -> str:
        """Who is at fault; of a pair the one that fails in this operation with others too."""
        if cell.fault == 'pair':
            client, _, agent = cell.who.partition(' with ')
            for one in (f'{client} as client', f'{agent} as agent'):
                if (one, operation) in self._alone:
                    return one
        return cell.who

    def of(self, operation: str, cell: Cell) -> Fault:
        """The fault behind a cell."""
        return self._by[self.who(operation, cell), operation]

    def _alike(self, who: str, cell: Cell) -> Fault | None:
        return next((fault for fault in self.all if fault.who == who and same(fault.said, cell.said)), None)

    def _new(self, who: str, cell: Cell) -> Fault:
        self.all.append(Fault(who, cell.proof, cell.said, len(self.all) + 1))
        return self.all[-1]


def commonest(cells: list[Cell]) -> Cell:
    """The cell that says what most of them say; among equals the words of traits.json, which are the clearest."""
    counts = Counter(cell.proof for cell in cells)
    return max(cells, key=lambda cell: (counts[cell.proof], cell.explained))


def excused(cell: Cell) -> bool:
    """Whether an SDK is at fault."""
    return cell.verdict == SDK


def place(who: str, operation: str) -> tuple:
    """The order of the faults."""
    return ' with ' in who, who.endswith('agent'), who, OPERATIONS.index(operation)
