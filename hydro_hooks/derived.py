"""Attributes whose values follow from others: `Computed`, `onupdate`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import Mapper


def following_update(mapper: Mapper[Any]) -> set[str]:
    """Return the attributes that any UPDATE of their row sets anew."""
    return {
        mapper.get_property_by_column(column).key
        for column in _own_columns(mapper)
        if column.onupdate is not None or column.server_onupdate is not None
    }


def _own_columns(mapper: Mapper[Any]) -> list[Column[Any]]:
    columns: Iterable[Any] = mapper.columns  # and expressions of column_property()
    return [column for column in columns if isinstance(column, Column)]


def sources(mapper: Mapper[Any], names: frozenset[str]) -> frozenset[str]:
    """Return attributes together with those that their values are derived from."""
    attributes = {
        column: mapper.get_property_by_column(column).key
        for column in _own_columns(mapper)
    }
    found = set(names)
    for column, name in attributes.items():
        if name not in names:
            continue
        if column.computed is not None:
            words = set(re.findall(r"\w+", str(column.computed.sqltext)))
            found.update(attributes[one] for one in attributes if one.name in words)
        elif column.onupdate is not None or column.server_onupdate is not None:
            found.update(attributes.values())
    return frozenset(found)
