"""Which classes are tracked, and from which others a deletion reaches them.

Asked of configured mappers only: an object is deleted when its class is long in use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import FromClause
from sqlalchemy.orm import Mapper, RelationshipProperty, class_mapper

from hydro_hooks.models import TrackedModel


class Cascades:
    """What the tracked models mean for other classes.

    Args:
        models: The tracked models, by association; call `forget()` when it changes.
    """

    def __init__(self, models: Mapping[str, TrackedModel]) -> None:
        self._models = models
        self.second: list[TrackedModel] = []
        self._tracked: dict[type[Any], bool] = {}
        self._reaching: dict[Mapper[Any], bool] = {}

    def forget(self) -> None:
        """Decide everything anew: the models or the mappers have changed."""
        self.second.clear()
        self._tracked.clear()
        self._reaching.clear()

    def is_tracked(self, kind: type[Any]) -> bool:
        """Return whether objects of the class are subjects."""
        known = self._tracked.get(kind)
        if known is None:
            mapper = class_mapper(kind, configure=False)
            known = self._tracked[kind] = any(
                tracked.covers(mapper)
                for tracked in (*self._models.values(), *self.second)
            )
        return known

    def reaches(self, mapper: Mapper[Any]) -> bool:
        """Return whether deleting an object of the mapper may delete a subject."""
        known = self._reaching.get(mapper)
        if known is None:
            deleted = _deleted_with(mapper)
            known = self._reaching[mapper] = any(
                self.is_tracked(one.class_)
                for reached in deleted
                for one in reached.self_and_descendants
            ) or any(
                relation.secondary in self._tables()
                for reached in deleted
                for relation in reached.relationships
            )
        return known

    def are_configured(self) -> bool:
        """Return whether relationships can be asked for without configuring any."""
        return all(mapper.configured for mapper in self._mappers())

    def find_second(self) -> None:
        """Look for classes that are mapped to the table of a tracked one, too."""
        self.second.extend(
            second
            for mapper in self._mappers()
            for tracked in self._models.values()
            if (second := tracked.as_mapped_by(mapper)) is not None
        )

    def needed_parents(self) -> Iterator[RelationshipProperty[Any]]:
        """Yield the relationships whose children are deleted when taken out of them."""
        for relation in self._relationships():
            if relation.cascade.delete_orphan and self.reaches(relation.mapper):
                yield relation

    def tracked_secondaries(self) -> Iterator[RelationshipProperty[Any]]:
        """Yield the relationships that write rows of a tracked table by themselves."""
        tables = self._tables()
        for relation in self._relationships():
            if relation.secondary in tables and not relation.viewonly:
                yield relation

    def _relationships(self) -> Iterator[RelationshipProperty[Any]]:
        for mapper in self._mappers():
            for relation in mapper.relationships:
                if relation.parent is mapper:  # not one that it inherits
                    yield relation

    def _tables(self) -> set[FromClause]:
        return {tracked.mapper.local_table for tracked in self._models.values()}

    def _mappers(self) -> Iterator[Mapper[Any]]:
        for registry in {one.mapper.registry for one in self._models.values()}:
            # Not registry.mappers: it raises while a class is there whose mapping has
            # failed, which it is for as long as somebody keeps the error.
            for manager in list(registry._managers):  # noqa: SLF001 - as said
                if manager.is_mapped:
                    yield manager.mapper


def _deleted_with(mapper: Mapper[Any]) -> set[Mapper[Any]]:
    seen: set[Mapper[Any]] = set()
    stack = [mapper]
    while stack:
        one = stack.pop()
        if one not in seen:
            seen.add(one)
            stack.extend(
                relation.mapper
                for relation in one.relationships
                if relation.cascade.delete
            )
    return seen
