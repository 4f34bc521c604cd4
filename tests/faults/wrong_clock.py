"""Run `hydro-hooks` with a clock that is wrong by so many seconds.

    python wrong_clock.py 3600 relay --database ...

What the drivers and SQLAlchemy import keeps its clock; hydro_hooks is imported later,
and has another. The first line of stdout tells the time that it sees.
"""

from __future__ import annotations

import datetime
import sys
import time
from typing import Any

import psycopg  # noqa: F401 - before the clock is turned
import pymysql  # noqa: F401
import requests  # noqa: F401
import sqlalchemy  # noqa: F401

RIGHT = datetime.datetime


class _Lenient(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, RIGHT)


def turn(seconds: float) -> None:
    """Turn the clock of what is imported from now on."""
    right_time, right_time_ns = time.time, time.time_ns

    class Wrong(RIGHT, metaclass=_Lenient):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return RIGHT.fromtimestamp(time.time(), tz)

    time.time = lambda: right_time() + seconds
    time.time_ns = lambda: right_time_ns() + int(seconds * 1e9)
    datetime.datetime = Wrong  # type: ignore[misc]


if __name__ == "__main__":
    turn(float(sys.argv.pop(1)))

    from hydro_hooks.cli import main

    print(datetime.datetime.now(datetime.UTC).isoformat(), flush=True)  # noqa: T201
    main()
