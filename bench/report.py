"""What a section of the bench found: a table for the terminal, and the same for docs/bench.md."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    cells: Sequence[str]
    target: str = ""  # What was to be reached.
    met: bool | None = None


@dataclass
class Section:
    """One table, and a paragraph that says what it shows."""

    title: str
    notes: str
    columns: Sequence[str]
    rows: list[Row] = field(default_factory=list)
    plot: str = ""  # The SVG that goes with it.

    def add(self, *cells: object, target: str = "", met: bool | None = None) -> None:
        self.rows.append(Row([str(cell) for cell in cells], target, met))

    def terminal(self) -> str:
        table = self._table()
        widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
        lines = [
            # The first column is text, the others are mostly figures.
            "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
            for line in table
        ]
        return "\n".join([f"== {self.title} ==", *lines, ""])

    def markdown(self, picture: str) -> str:
        """For a page beside which the plot lies under that name."""
        head, *lines = ["| " + " | ".join(line) + " |" for line in self._table()]
        rule = "| --- |" + " ---: |" * (len(self._table()[0]) - 1)
        image = [f"![{self.title}]({picture})", ""] if self.plot else []
        return "\n".join([f"## {self.title}", "", textwrap.fill(self.notes, 120), "", *image, head, rule, *lines, ""])

    def _table(self) -> list[list[str]]:
        if not any(row.target for row in self.rows):
            return [list(self.columns), *(list(row.cells) for row in self.rows)]
        verdict = {True: "met", False: "MISSED", None: ""}
        return [
            [*self.columns, "target", ""],
            *([*row.cells, row.target, verdict[row.met]] for row in self.rows),
        ]


def ratio(part: float, whole: float) -> str:
    return f"{part / whole:.2f}"
