"""What can go wrong, as one tree.

    HydroHooksError
    ├── ConfigurationError      a setting, a registration or a command is wrong
    │   └── MappingError        a model does not have what register() was told
    ├── RecordingError          an event could not be written; nothing was committed
    ├── InvalidEventError       an event does not fit its schema
    └── DatabaseError           a database does not hold what was looked for in it

A class exists where a caller acts differently on it; it carries what the caller
needs for that. No message, here or elsewhere, holds a secret or a request's body.
"""


class HydroHooksError(Exception):
    """The base of every error that hydro_hooks raises by itself."""


class ConfigurationError(HydroHooksError, ValueError):
    """A setting or an argument is wrong; the message names it and the remedy."""


class MappingError(ConfigurationError):
    """A model does not have what `register()` was told.

    Args:
        model: Name of the model.
        field: The argument of `installation()`, `subscription()` or `track()`.
        problem: What is wrong, and what to do.
    """

    def __init__(self, model: str, field: str, problem: str) -> None:
        super().__init__(f"{model}: {field} {problem}")
        self.model = model
        self.field = field
        self.problem = problem


class RecordingError(HydroHooksError):
    """The events of a transaction could not be written, so nothing was committed.

    The session or connection wants a `rollback()` before it is used again; a
    `with` block does that by itself. `__cause__` is what the database said.
    """


class InvalidEventError(HydroHooksError):
    """An event does not fit its schema.

    Args:
        schema: Name of the schema, such as `jira.v1.Action`.
        field: Name of the property at fault; empty when it is the whole value.
        problem: What is wrong with it.
    """

    def __init__(self, schema: str, *, field: str, problem: str) -> None:
        place = f"{schema}: {field}" if field else schema
        super().__init__(f"{place} {problem}")
        self.schema = schema
        self.field = field
        self.problem = problem


class DatabaseError(HydroHooksError):
    """A database cannot be read, or does not hold the tables of hydro_hooks."""


def with_article(name: str) -> str:
    """Return the name of a class with the article that it is spoken with."""
    return f"{'an' if name[0] in 'AEIOUaeiou' and name != 'URL' else 'a'} {name}"
