"""Which extra of the package brings a module that is missing."""

from __future__ import annotations

from typing import Final

EXTRAS: Final = {
    "click": "cli",
    "rich": "cli",
    "flask": "gateway",
    "waitress": "gateway",
    "werkzeug": "gateway",  # the first of flask's modules to be missed
    "alembic": "alembic",
    "celery": "celery",
    "confluent_kafka": "kafka",
    "prometheus_client": "metrics",
    "psycopg": "postgresql",
    "psycopg_binary": "postgresql",
    "pymysql": "mariadb",
    "pytest": "pytest",
    "rq": "rq",
}


def remedy_for(module: str | None) -> str | None:
    """Return the line that says what to run; None for a module of no extra.

    Args:
        module: Name of the missing module, such as `ModuleNotFoundError.name`.
    """
    extra = EXTRAS.get((module or "").partition(".")[0])
    if extra is None:
        return None
    return f'{module} is not installed; run: pip install "hydro-hooks[{extra}]"'
