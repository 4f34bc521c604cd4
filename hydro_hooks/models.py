"""What a user's models mean: which attribute tells what an event tells.

Attributes are looked up without configuring mappers: when `register()` runs, another
model that this one is related to may not be imported yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Integer, and_
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.inspection import inspect
from sqlalchemy.orm import Mapper

from hydro_hooks.derived import following_update, sources
from hydro_hooks.errors import MappingError
from hydro_hooks.fields import Field, Meaning, flag_of, value_of
from hydro_hooks.stored_types import given_back, stored_as_given
from hydro_hooks.transition import State, Values

MAX_ASSOCIATION: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackedModel:
    """A model whose rows are subjects; made by `installation()` and its like.

    Args:
        model: The class; its subclasses are tracked with it.
        mapper: Of the class.
        association: What it stands for, such as `subscription`.
        values: For each of `Values`, the field; None where the model has none.
        enabled: The flag; None: every row is enabled.
        present: The flag of soft deletes; None: a row is there while it is stored.
        key_types: Of each column of the primary key, the types of the values that come
            back from the database as they were given.
        are_numbers: Of each column of the primary key, whether it is an integer.
        key_attributes: Names of the attributes that are the primary key, in its order.
        flag_attributes: Names of those that `enabled` depends on, or is derived from.
        presence_attributes: Names of those that make another subject of the row, or
            hide it, by themselves or by what is derived from them.
        watched: Names of all the row's own attributes of which a change matters.
        follows_update: Names of those that any UPDATE of the row may change.
        columns: The columns behind `watched`, the primary key of each table among them.
        reads_tables: Whether a field is a subquery, which other tables' rows change.
        is_plain: Whether a row can be read without its types' own conversions.
    """

    model: type[Any]
    mapper: Mapper[Any]
    association: str
    values: tuple[Field | None, ...]
    enabled: Field | None
    present: Field | None
    key_types: tuple[frozenset[type], ...]
    are_numbers: tuple[bool, ...]
    key_attributes: tuple[str, ...]
    flag_attributes: frozenset[str]
    presence_attributes: frozenset[str]
    watched: frozenset[str]
    follows_update: frozenset[str]
    columns: frozenset[Column[Any]]
    reads_tables: bool
    is_plain: bool

    def is_same_as(self, other: TrackedModel) -> bool:
        """Return whether the other says the same of the same class."""
        mine, theirs = self.fields(), other.fields()
        return (
            (self.model, self.association) == (other.model, other.association)
            and mine.keys() == theirs.keys()
            and all(
                field.expression.compare(theirs[name].expression)
                for name, field in mine.items()
            )
        )

    def fields(self) -> dict[str, Field]:
        """Return the fields that it has, by the name of the argument."""
        named = zip(Values._fields, self.values, strict=True)
        fields = {**dict(named), "enabled": self.enabled, "present": self.present}
        return {name: field for name, field in fields.items() if field is not None}

    def covers(self, mapper: Mapper[Any]) -> bool:
        """Return whether objects of the mapper are rows of the model's own table.

        A subclass with a table of its own, which shares nothing with it, is not.
        """
        return mapper is self.mapper or (
            mapper.isa(self.mapper) and self.mapper.local_table in mapper.tables
        )

    def as_mapped_by(self, mapper: Mapper[Any]) -> TrackedModel | None:
        """Return what it means for a second class on its table; None if it is none.

        One that lacks a column of a field is followed by its statements alone.
        """
        is_second = (
            mapper.local_table is self.mapper.local_table
            and mapper.base_mapper is not self.mapper.base_mapper
            and len(mapper.tables) == len(self.mapper.tables) == 1
            and mapper.primary_key == self.mapper.primary_key
            and all(map(mapper.columns.contains_column, self.columns))
        )
        if not is_second:
            return None
        meanings: dict[str, Any] = {
            name: field.expression for name, field in self.fields().items()
        }
        return track(mapper.class_, association=self.association, **meanings)

    def key(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a primary key with its numbers as the database gives them back.

        A program may set an integer key from text; it is the same row.
        """
        if str not in map(type, values):
            return values
        return tuple(
            _as_number(value) if is_number and isinstance(value, str) else value
            for value, is_number in zip(values, self.are_numbers, strict=True)
        )

    def gives_back(self, key: tuple[Any, ...]) -> bool:
        """Return whether the database surely gives a primary key back as it is."""
        for value, types in zip(key, self.key_types, strict=True):
            if type(value) not in types:
                return False
        return True

    def state(self, is_present: object, is_enabled: object) -> State:
        """Return the state that the two flags make; NULL in one of them is false."""
        if not is_present:
            return State.ABSENT
        return State.ENABLED if is_enabled else State.DISABLED


def installation(
    model: type[Any],
    *,
    jira_hostname: Meaning | None = None,
    github_installation_id: Meaning | None = None,
    jira_integration_id: Meaning | None = None,
    enabled: Meaning | None = None,
    present: Meaning | None = None,
) -> TrackedModel:
    """Say that `model` holds the app's Jira installations.

    Args:
        model: A mapped class.
        jira_hostname: Which attribute is the customer's Jira host.
        github_installation_id: Which is the GitHub installation's id, if any.
        jira_integration_id: The app's own id of the installation; default: the primary
            key.
        enabled: The flag; an expression over the row's own columns will do
            (`Model.disabled_at.is_(None)`). Default: every row is enabled.
        present: False for a row that counts as deleted. Default: every row is there.

    Each is an attribute's name, the attribute itself, or an SQL expression over the
    row, such as a scalar subquery that follows a client key.

    Raises:
        MappingError: The model does not have it; names the model, the argument and
            the remedy.
    """
    if jira_integration_id is None:
        keys = _mapper_of(model).primary_key
        jira_integration_id = keys[0] if len(keys) == 1 else None
    return track(
        model,
        association="installation",
        jira_hostname=jira_hostname,
        github_installation_id=github_installation_id,
        jira_integration_id=jira_integration_id,
        enabled=enabled,
        present=present,
    )


def subscription(
    model: type[Any],
    *,
    github_installation_id: Meaning | None = None,
    jira_hostname: Meaning | None = None,
    jira_integration_id: Meaning | None = None,
    enabled: Meaning | None = None,
    present: Meaning | None = None,
) -> TrackedModel:
    """Say that `model` holds subscriptions: GitHub installations that a Jira host uses.

    Args:
        model: A mapped class.
        github_installation_id: Which attribute is the GitHub installation's id.
        jira_hostname: Which is the customer's Jira host.
        jira_integration_id: The app's own id of the Jira installation, if any.
        enabled: As for `installation()`.
        present: As for `installation()`.

    Raises:
        MappingError: As for `installation()`; neither an id nor a host is named.
    """
    if github_installation_id is jira_hostname is jira_integration_id is None:
        problem = (
            "is missing, and so are jira_hostname and jira_integration_id: nothing says"
            " whose it is; give at least one of the three"
        )
        raise MappingError(
            _mapper_of(model).class_.__name__, "github_installation_id", problem
        )
    return track(
        model,
        association="subscription",
        jira_hostname=jira_hostname,
        github_installation_id=github_installation_id,
        jira_integration_id=jira_integration_id,
        enabled=enabled,
        present=present,
    )


def track(
    model: type[Any],
    *,
    association: str,
    jira_hostname: Meaning | None = None,
    github_installation_id: Meaning | None = None,
    jira_integration_id: Meaning | None = None,
    enabled: Meaning | None = None,
    present: Meaning | None = None,
) -> TrackedModel:
    """Say that rows of `model` are subjects of their own kind.

    Args:
        model: A mapped class.
        association: What a row stands for, 1 to 100 characters, as events name it.
        jira_hostname: As for `installation()`, as are the rest.
        github_installation_id: As for `installation()`.
        jira_integration_id: As for `installation()`, but none by default.
        enabled: As for `installation()`.
        present: As for `installation()`.

    Raises:
        MappingError: As for `installation()`.
    """
    mapper = _mapper_of(model)
    name = model.__name__
    named: object = association
    is_name = isinstance(named, str) and named.isprintable()
    if not is_name or not 0 < len(association.strip()) <= MAX_ASSOCIATION:
        problem = (
            f"is {association!r}; give a name of 1 to {MAX_ASSOCIATION} characters"
        )
        raise MappingError(name, "association", problem)
    given = (github_installation_id, jira_hostname, jira_integration_id)
    values = tuple(
        None if meaning is None else value_of(mapper, argument, meaning)
        for argument, meaning in zip(Values._fields, given, strict=True)
    )
    flag = None if enabled is None else flag_of(mapper, "enabled", enabled)
    there = _presence(mapper, present)
    keys = tuple(
        mapper.get_property_by_column(column).key for column in mapper.primary_key
    )
    presence = frozenset(keys) | (there.watched if there else frozenset())
    watched = presence.union(
        *(field.watched for field in (flag, *values) if field is not None)
    )
    fields = [field for field in (flag, there, *values) if field is not None]
    keyed: set[Any] = {key for table in mapper.tables for key in table.primary_key}
    keyed.update(mapper.primary_key)
    return TrackedModel(
        model=model,
        mapper=mapper,
        association=association,
        values=values,
        enabled=flag,
        present=there,
        key_types=tuple(given_back(key) for key in mapper.primary_key),
        are_numbers=tuple(isinstance(key.type, Integer) for key in mapper.primary_key),
        key_attributes=keys,
        flag_attributes=sources(mapper, flag.watched if flag else frozenset()),
        presence_attributes=sources(mapper, presence),
        watched=watched,
        follows_update=watched & following_update(mapper),
        columns=frozenset(keyed.union(*(field.own for field in fields))),
        reads_tables=any(field.tables for field in fields),
        is_plain=all(field.attribute is not None for field in fields)
        and all(stored_as_given(key.type) for key in mapper.primary_key),
    )


def _presence(mapper: Mapper[Any], present: Meaning | None) -> Field | None:
    """Return the flag of presence: of a subclass in a shared table, its kind too."""
    is_there = None if present is None else flag_of(mapper, "present", present)
    on = mapper.polymorphic_on
    if not mapper.single or on is None:
        return is_there
    kinds = [one.polymorphic_identity for one in mapper.self_and_descendants]
    conditions: list[ColumnElement[bool]] = [on.in_(kinds)]
    if is_there is not None:
        conditions.append(is_there.expression)
    return flag_of(mapper, "present", and_(*conditions))


def _mapper_of(model: type[Any]) -> Mapper[Any]:
    try:
        mapper = inspect(model)
    except NoInspectionAvailable:
        mapper = None
    if not isinstance(mapper, Mapper) or not isinstance(model, type):
        name = getattr(model, "__name__", repr(model))
        problem = "is not a mapped class; give the SQLAlchemy model itself"
        raise MappingError(name, "model", problem)
    return mapper


def _as_number(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text  # the database will say what it thinks of it
