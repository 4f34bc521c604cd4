"""The table of what the tests of faults found, printed once at the end of the run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import pytest
from faults.checker import Findings

PROPERTY: Final = "fault figures"
"""Name of the property of a test's report that holds its row: it passes on to the
process that prints, also from those of pytest-xdist."""

HEAD: Final = (
    "",
    "what dies",
    "database",
    "runs",
    "committed",
    "delivered",
    "rejected",
    "repeats",
    "lost",
    "invented",
    "out of order",
    "duplicates",
    "seconds",
)
_WORDS: Final = (1, 2, 12)
"""Columns that are not numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A test's row.

    Args:
        number: The scenario's, as in `3` or `3a`.
        scenario: What dies, in a few words.
        database: On which.
        runs: How often.
        findings: Counts by their names in `Findings`.
        seconds: Times by what they are of.
    """

    number: str
    scenario: str
    database: str
    runs: int
    findings: Mapping[str, int]
    seconds: Mapping[str, float]

    @classmethod
    def of(
        cls,
        findings: Findings,
        *,
        number: str,
        scenario: str,
        database: str,
        runs: int,
        seconds: Mapping[str, float],
    ) -> Row:
        counts = {
            name: value if isinstance(value, int) else len(value)
            for name, value in asdict(findings).items()
        }
        return cls(
            number=number,
            scenario=scenario,
            database=database,
            runs=runs,
            findings=counts,
            seconds=seconds,
        )

    @property
    def order(self) -> tuple[int, str, str, str]:
        digits = "".join(filter(str.isdigit, self.number))
        return int(digits), self.number, self.scenario, self.database

    @property
    def cells(self) -> tuple[str, ...]:
        times = (f"{what} {value:.2f}" for what, value in self.seconds.items())
        return (
            self.number,
            self.scenario,
            self.database,
            f"{self.runs:,}",
            *(f"{count:,}" for count in self.findings.values()),
            ", ".join(times),
        )


def add(request: pytest.FixtureRequest, row: Row) -> None:
    """Give a test its row."""
    request.node.user_properties.append((PROPERTY, json.dumps(asdict(row))))


def table(rows: Iterable[Row]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = [HEAD, *(row.cells for row in sorted(rows, key=lambda row: row.order))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = [
        "-" * width if i in _WORDS else "-" * (width - 1) + ":"
        for i, width in enumerate(widths)
    ]
    padded = [
        [
            cell.ljust(width) if i in _WORDS else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    padded.insert(1, rule)
    return [f"| {' | '.join(cells)} |" for cells in padded]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, where tests of faults were run."""
    rows = [
        Row(**json.loads(str(value)))
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if rows:
        terminalreporter.section("faults")
        for line in table(rows):
            terminalreporter.write_line(line)
