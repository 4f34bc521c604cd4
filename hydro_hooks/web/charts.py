"""The geometry of what pages draw: numbers in, shapes out, as inline SVG has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from hydro_hooks.journal import Bar, DayCount
from hydro_hooks.transition import Action, State

WIDTH: Final = 960
"""Units that a drawing is wide; it fits whatever page it is on."""

BAR_HEIGHT: Final = 22
THIN_HEIGHT: Final = 11
SHORTEST: Final = 3.0
"""Units that a span is drawn wide at least, over its neighbours."""

NAMES_WIDTH: Final = 190
"""Units left of the bars, for the names of their rows."""

MAX_NAME: Final = 30
"""Letters of such a name."""

GAP: Final = 6
LABEL_MIN: Final = 64
"""Units from which on a span has its state written in it."""

DAYS_HEIGHT: Final = 120

_FORM: Final = "%Y-%m-%d %H:%M"

ORDER: Final = (Action.CREATE, Action.ENABLE, Action.DISABLE, Action.DESTROY)
STATE_NAMES: Final = {
    State.ENABLED: "enabled",
    State.DISABLED: "disabled",
    State.ABSENT: "absent",
    None: "not known",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle; `kind` is its class, `title` what it tells when pointed at."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark below a drawing."""

    x: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What is written beside a row."""

    y: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Boxes and ticks, how high they are together, and a name beside each row."""

    boxes: tuple[Box, ...]
    ticks: tuple[Tick, ...]
    height: int
    names: tuple[Name, ...] = ()

    @property
    def left(self) -> int:
        """Units left of all boxes."""
        return NAMES_WIDTH if self.names else 0


def state_bars(bars: Sequence[Bar], *, start: datetime, end: datetime) -> Drawing:
    """Return rows' states over time: installations thick, what belongs to them thin."""
    boxes: list[Box] = []
    names: list[Name] = []
    y = 0
    for bar in bars:
        height = BAR_HEIGHT if bar.association == "installation" else THIN_HEIGHT
        its = _boxes_of(bar, start, end, y, height)
        boxes += sorted(its, key=lambda box: box.width <= SHORTEST)
        names.append(Name(y=y + height / 2, text=_shortened(_name_of(bar))))
        y += height + GAP
    return Drawing(
        boxes=tuple(boxes),
        ticks=tuple(_ticks(start, end)),
        height=y,
        names=tuple(names),
    )


def _name_of(bar: Bar) -> str:
    if bar.subject_id is None:
        return bar.association
    return f"{bar.association} {bar.subject_id}"


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def _boxes_of(
    bar: Bar, start: datetime, end: datetime, y: int, height: int
) -> Iterator[Box]:
    unit = WIDTH / max((end - start).total_seconds(), 1.0)
    who = _name_of(bar)
    for span in bar.spans:
        width = (span.end - span.start).total_seconds() * unit
        name = STATE_NAMES[span.state]
        has_label = height == BAR_HEIGHT and width >= LABEL_MIN
        yield Box(
            x=round((span.start - start).total_seconds() * unit, 2),
            y=y,
            width=round(max(width, SHORTEST), 2),
            height=height,
            kind=name.replace(" ", "-"),
            title=f"{who} {name}: {span.start:{_FORM}} to {span.end:{_FORM}} UTC",
            label=name if has_label else "",
        )


def _ticks(start: datetime, end: datetime) -> Iterator[Tick]:
    """Yield the two ends and what lies between, as coarse as the time is long."""
    form = "%d %b %Y" if end - start > timedelta(days=2) else "%d %b %H:%M"
    parts = 4
    for part in range(parts + 1):
        at = start + (end - start) * part / parts
        yield Tick(x=WIDTH * part / parts, label=at.strftime(form).lstrip("0"))


def days(counts: Iterable[DayCount], *, first: date, last: date) -> Drawing:
    """Return the events of each day as stacked bars, by action."""
    totals: Counter[tuple[date, Action]] = Counter()
    for each in counts:
        totals[each.day, each.action] += each.count
    span = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    most = max((sum(totals[day, it] for it in ORDER) for day in span), default=0)
    step = WIDTH / len(span)
    boxes: list[Box] = []
    for number, day in enumerate(span):
        y = float(DAYS_HEIGHT)
        for action in ORDER:
            count = totals[day, action]
            height = round(DAYS_HEIGHT * count / most, 2) if most else 0.0
            y -= height
            if count:
                boxes.append(
                    Box(
                        x=round(number * step + 2, 2),
                        y=round(y, 2),
                        width=round(step - 4, 2),
                        height=max(height, 1.0),
                        kind=action.value,
                        title=f"{day:%Y-%m-%d}: {count} {action.value}",
                    )
                )
    ticks = tuple(
        Tick(x=round((number + 0.5) * step, 2), label=f"{day.day} {day:%b}")
        for number, day in enumerate(span)
    )
    return Drawing(boxes=tuple(boxes), ticks=ticks, height=DAYS_HEIGHT)
