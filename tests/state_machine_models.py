"""The models of the state machine, and a row of any of them in one shape.

Small ranges of keys and links, so that rows collide, follow one another and cascade.
Attribute names differ from column names where that could matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import DDL, Boolean, ForeignKey, String, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hydro_hooks import TrackedModel, installation, subscription, track

Subject: TypeAlias = tuple[str, str]
"""An association (or an untracked table's name) and the key as an event names it."""

# A generated key never meets one that a rule gives (SQLite counts on from the highest).
_OPTIONS = {"mariadb_auto_increment": "1000", "mariadb_engine": "InnoDB"}
# A row that a cascade of the database took already is deleted again by the flush.
_MAPPER = {"confirm_deleted_rows": False}


class Base(DeclarativeBase):
    pass


class Installation(Base):
    __tablename__ = "installation"
    __table_args__ = _OPTIONS
    __mapper_args__ = _MAPPER

    id: Mapped[int] = mapped_column(primary_key=True)
    client_key: Mapped[str] = mapped_column("client", String(20), unique=True)
    jira_host: Mapped[str] = mapped_column("host", String(20))
    enabled: Mapped[bool | None] = mapped_column("is_enabled", Boolean)
    teams: Mapped[list[Team]] = relationship(
        back_populates="installation",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )


class Subscription(Base):
    """Linked to its installation by client key, without a foreign key."""

    __tablename__ = "subscription"
    __table_args__ = _OPTIONS
    __mapper_args__ = _MAPPER

    id: Mapped[int] = mapped_column(primary_key=True)
    client_key: Mapped[str] = mapped_column(String(20))
    github_installation_id: Mapped[int] = mapped_column("github_id")
    jira_host: Mapped[str] = mapped_column("host", String(20))


class Team(Base):
    """Not tracked: cascades pass through it."""

    __tablename__ = "team"
    __table_args__ = _OPTIONS
    __mapper_args__ = _MAPPER

    id: Mapped[int] = mapped_column(primary_key=True)
    installation_id: Mapped[int] = mapped_column(
        ForeignKey("installation.id", ondelete="CASCADE")
    )
    installation: Mapped[Installation] = relationship(back_populates="teams")
    seats: Mapped[list[Seat]] = relationship(
        back_populates="team", cascade="all, delete-orphan", passive_deletes=True
    )


class Seat(Base):
    __tablename__ = "seat"
    __table_args__ = _OPTIONS
    __mapper_args__ = _MAPPER

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(
        "team", ForeignKey("team.id", ondelete="CASCADE")
    )
    enabled: Mapped[bool | None] = mapped_column("is_enabled", Boolean)
    team: Mapped[Team] = relationship(back_populates="seats")


class Badge(Base):
    """The last of four levels; no relationship leads to it, so no session loads it."""

    __tablename__ = "badge"
    __table_args__ = _OPTIONS
    __mapper_args__ = _MAPPER

    id: Mapped[int] = mapped_column(primary_key=True)
    seat_id: Mapped[int] = mapped_column(ForeignKey("seat.id", ondelete="CASCADE"))


class Pair(Base):
    """A composite key, soft deletes, and a flag that is an expression."""

    __tablename__ = "pair"
    __table_args__ = _OPTIONS
    __mapper_args__ = _MAPPER

    left: Mapped[int] = mapped_column(
        "left_side", primary_key=True, autoincrement=False
    )
    right: Mapped[str] = mapped_column("right_side", String(5), primary_key=True)
    level: Mapped[int | None]
    is_deleted: Mapped[bool] = mapped_column("deleted", Boolean)
    host: Mapped[str | None] = mapped_column(String(20))


class Device(Base):
    """The base of a joined-table hierarchy."""

    __tablename__ = "device"
    __table_args__ = _OPTIONS
    __mapper_args__ = _MAPPER | {
        "polymorphic_on": "kind",
        "polymorphic_identity": "device",
    }

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    enabled: Mapped[bool | None] = mapped_column("is_enabled", Boolean)


class Phone(Device):
    __tablename__ = "phone"
    __table_args__ = _OPTIONS
    __mapper_args__ = _MAPPER | {"polymorphic_identity": "phone"}

    id: Mapped[int] = mapped_column(
        ForeignKey("device.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int | None]


class Ticket(Base):
    """The base of a single-table hierarchy."""

    __tablename__ = "ticket"
    __table_args__ = _OPTIONS
    __mapper_args__ = _MAPPER | {
        "polymorphic_on": "kind",
        "polymorphic_identity": "ticket",
    }

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    enabled: Mapped[bool | None] = mapped_column("is_enabled", Boolean)


class Bug(Ticket):
    __mapper_args__ = _MAPPER | {"polymorphic_identity": "bug"}


MODELS: tuple[type[Base], ...] = (
    Installation,
    Subscription,
    Team,
    Seat,
    Badge,
    Pair,
    Device,
    Phone,
    Ticket,
    Bug,
)
FLAGGED: tuple[type[Any], ...] = (Installation, Seat, Device, Ticket)

for _model in MODELS:
    if _model not in (Pair, Phone, Bug):
        # A sequence counts on in the next example: what collides there would not when
        # Hypothesis tries it again.
        _restart = f"ALTER SEQUENCE {_model.__tablename__}_id_seq RESTART WITH 1000"
        event.listen(
            _model.__table__,
            "after_create",
            DDL(_restart).execute_if(dialect="postgresql"),  # type: ignore[no-untyped-call]
        )

_ASSOCIATION: dict[type[Any], str] = {
    Phone: "device",
    Bug: "ticket",
} | {model: model.__tablename__ for model in MODELS if model not in (Phone, Bug)}


def mappings() -> tuple[TrackedModel, ...]:
    """Return what `register()` is told; an untracked table is left out."""
    return (
        installation(
            Installation,
            jira_hostname="jira_host",
            github_installation_id=select(func.min(Subscription.github_installation_id))
            .where(Subscription.client_key == Installation.client_key)
            .scalar_subquery(),
            enabled="enabled",
        ),
        subscription(
            Subscription,
            github_installation_id="github_installation_id",
            jira_hostname="jira_host",
            jira_integration_id=select(Installation.id)
            .where(Installation.client_key == Subscription.client_key)
            .scalar_subquery(),
        ),
        track(Seat, association="seat", enabled="enabled"),
        track(Badge, association="badge"),
        track(
            Pair,
            association="pair",
            jira_hostname="host",
            enabled=Pair.level > 0,
            present=~Pair.is_deleted,
        ),
        track(Device, association="device", enabled="enabled"),
        track(Ticket, association="ticket", enabled="enabled"),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A row as a rule draws it, of any model.

    Args:
        model: Its class.
        key: 1 to 4.
        link: 1 to 4: which parent, which client, which half of a composite key.
        flag: What it is to be: enabled, disabled, or disabled by NULL.
        is_hidden: Of a `Pair`, whether it is born deleted.
    """

    model: type[Any]
    key: int
    link: int
    flag: bool | None
    is_hidden: bool = False

    def __repr__(self) -> str:
        hidden = ", is_hidden=True" if self.is_hidden else ""
        name = self.model.__name__
        return f"Row({name}, {self.key}, {self.link}, flag={self.flag}{hidden})"

    @property
    def identity(self) -> int | tuple[int, str]:
        """The primary key as `Session.get()` takes it."""
        return (self.key, self.right) if self.model is Pair else self.key

    @property
    def right(self) -> str:
        return "a" if self.link % 2 else "b"

    @property
    def subject(self) -> Subject:
        key = f'[{self.key},"{self.right}"]' if self.model is Pair else str(self.key)
        return _ASSOCIATION[self.model], key

    def values(self) -> dict[str, Any]:
        """Return its attributes, the key among them, by name."""
        if self.model is Pair:
            return {
                "left": self.key,
                "right": self.right,
                "level": None if self.flag is None else int(self.flag),
                "is_deleted": self.is_hidden,
                "host": f"h{self.link}",
            }
        return {"id": self.key} | self._links() | self._flag()

    def build(self) -> Any:
        """Return a new object."""
        return self.model(**self.values())

    def _links(self) -> dict[str, Any]:
        client = {"client_key": f"c{self.link}", "jira_host": f"h{self.link}"}
        links: dict[type[Any], dict[str, Any]] = {
            Installation: client,
            Subscription: client | {"github_installation_id": 10 + self.key},
            Team: {"installation_id": self.link},
            Seat: {"team_id": self.link},
            Badge: {"seat_id": self.link},
            Phone: {"number": self.link},
        }
        return links.get(self.model, {})

    def _flag(self) -> dict[str, Any]:
        return {"enabled": self.flag} if issubclass(self.model, FLAGGED) else {}


def subject_of(one: Any) -> Subject:
    """Return the subject of an object, from its key as the object has it now."""
    values = one.__dict__
    if isinstance(one, Pair):
        return "pair", f'[{values["left"]},"{values["right"]}"]'
    return _ASSOCIATION[type(one)], str(values["id"])
