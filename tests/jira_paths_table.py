"""The README's table of the app's paths: what is recorded on each, and is it right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jira_walks import Effect, Outcome, expected, told

HEAD = "| path | effect | reason | actor |"
WORDS = {
    ("create", "enabled"): "created",
    ("create", "disabled"): "created, pending",
    ("enable", "enabled"): "enabled",
    ("disable", "disabled"): "disabled",
    ("destroy", "absent"): "destroyed",
}
NONE_TO_KNOW = "none to know"
SHOWN_OF_AN_ACCOUNT = 6
"""Characters of a Jira account id, as in the demo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is recorded, and whether that is what has to be."""

    text: str
    is_right: bool

    def __str__(self) -> str:
        if self.text == NONE_TO_KNOW:
            return self.text
        return f"{'✓' if self.is_right else '✗ wrong:'} {self.text}"


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the table in Markdown; its last row counts what is right."""
    rows = [(_effect(one), _reason(one), _actor(one)) for one in outcomes]
    effects, reasons, actors = (
        sum(row[column].is_right for row in rows) for column in range(3)
    )
    unknown = sum(actor.text == NONE_TO_KNOW for *_, actor in rows)
    total = (
        f"{len(rows)} paths",
        f"{effects} right",
        f"{reasons} right",
        f"{actors - unknown} right, {unknown} {NONE_TO_KNOW}",
    )
    lines = [HEAD, "|---|---|---|---|"]
    for outcome, row in zip(outcomes, rows, strict=True):
        lines.append(_line(outcome.path.name, *row))
    lines.append(_line(*(f"**{count}**" for count in total)))
    return "\n".join(lines)


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _effect(outcome: Outcome) -> Cell:
    """Tell what happened to the path's rows: right if it did, and nothing besides."""
    happened = [
        f"{one.association if rows == 1 else f'{rows} {one.association}s'}"
        f" {WORDS[one.action, one.state]}"
        for one, rows in _mine(outcome).items()
    ]
    recorded, wanted = told(outcome.events), expected(outcome.path)
    return Cell(
        text=", ".join(happened) or "nothing",
        is_right=outcome.is_told and _effects(recorded) == _effects(wanted),
    )


def _reason(outcome: Outcome) -> Cell:
    reasons = {one.reason for one in _mine(outcome)}
    return Cell(
        text=", ".join(sorted(reasons)) or "none",
        is_right=reasons == {outcome.path.effect.reason},
    )


def _actor(outcome: Outcome) -> Cell:
    actors = {_actors(one) for one in _mine(outcome)}
    is_right = actors == {_actors(outcome.path.effect)}
    nobody = NONE_TO_KNOW if is_right else "none"
    names = [_named(*pair) for pair in actors if any(pair)]
    return Cell(text="; ".join(sorted(names)) or nobody, is_right=is_right)


def _mine(outcome: Outcome) -> Counter[Effect]:
    """Return what is recorded of the kind of row that the path is about."""
    association = outcome.path.effect.association
    return told([one for one in outcome.events if one.association == association])


def _effects(recorded: Counter[Effect]) -> Counter[tuple[str, str, str]]:
    """Return the same without reasons and actors."""
    return Counter(
        (one.association, one.action, one.state) for one in recorded.elements()
    )


def _actors(effect: Effect) -> tuple[str | None, str | None]:
    return effect.github_actor, effect.jira_actor


def _named(github: str | None, jira: str | None) -> str:
    names = [f"GitHub {github}"] if github else []
    names += [f"Jira {jira[:SHOWN_OF_AN_ACCOUNT]}..."] if jira else []
    return ", ".join(names)
