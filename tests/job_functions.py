"""What the jobs of the tests do, in a worker's process or here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tracked_models
from rq import get_current_job
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from tracked_models import Installation

from hydro_hooks import because, register

DATABASE = "HYDRO_TEST_JOBS_DATABASE"


@contextmanager
def session() -> Iterator[Session]:
    engine = create_engine(os.environ[DATABASE])
    register(*tracked_models.mappings())
    with Session(engine) as session:
        yield session
        session.commit()
    engine.dispose()


def add(number: int) -> None:
    with session() as one:
        one.add(Installation(id=number))


@because("nightly clean-up")
def add_nightly(number: int) -> None:
    add(number)


def fail() -> None:
    message = "made to fail"
    raise RuntimeError(message)


def fail_with_a_meta_of_its_own() -> None:
    job = get_current_job()
    assert job is not None
    job.meta = {"page": "last"}
    job.save_meta()  # type: ignore[no-untyped-call]  # RQ says nothing
    fail()


class Unloadable:
    """An argument that a worker fails to load."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return fail, ()
