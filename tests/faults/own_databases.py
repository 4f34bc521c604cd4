"""Databases of the tests' own, which they may kill, fill and forbid to write to.

SQLite's is a file; the others are servers on an empty directory, on a free port.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from databases import Database
from faults.processes import Command
from needs import missing
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from hydro_hooks import creation, tables

FOLDERS: Final = ("/usr/lib/postgresql/*/bin", "/usr/sbin", "/usr/local/*bin")
"""Where the programs of servers are that no PATH names."""

START_SECONDS: Final = 60

REFUSING: Final = """CREATE TRIGGER refusing_{name}_{what} BEFORE {what} ON {name}
BEGIN SELECT RAISE(ABORT, 'nobody may write now'); END"""


class OwnDatabase(ABC):
    """A database with the tables of hydro_hooks, which no other test uses."""

    @property
    @abstractmethod
    def database(self) -> Database:
        """What the apps and relays use."""

    @abstractmethod
    def forbid_writing(self) -> None:
        """Let nobody write to it from now on."""

    @abstractmethod
    def allow_writing(self) -> None:
        """Let everybody write to it again."""

    @abstractmethod
    def see_that_it_runs(self) -> None:
        """Start it anew where it has ended by itself, as a supervisor does."""

    def create_tables(self) -> None:
        """Make the tables of hydro_hooks."""
        engine = self.database.engine()
        creation.create_tables(engine)
        engine.dispose()


class OwnSqlite(OwnDatabase):
    """A file; what forbids to write are triggers, since it has no switch.

    Args:
        folder: Of the file.
    """

    def __init__(self, folder: Path) -> None:
        url = make_url(f"sqlite:///{folder / 'app.db'}")
        self._database = Database(kind="sqlite", url=url)

    @property
    def database(self) -> Database:
        return self._database

    def forbid_writing(self) -> None:
        self._on_each_table(REFUSING)

    def allow_writing(self) -> None:
        self._on_each_table("DROP TRIGGER refusing_{name}_{what}")

    def see_that_it_runs(self) -> None:
        """Do nothing: a file does not end."""

    def _on_each_table(self, statement: str) -> None:
        engine = self.database.engine()
        with engine.begin() as connection:
            for name in tables.metadata.tables:
                for what in ("INSERT", "UPDATE", "DELETE"):
                    connection.exec_driver_sql(statement.format(name=name, what=what))
        engine.dispose()


class OwnServer(OwnDatabase):
    """A server on loopback, with one database for the tests.

    Args:
        folder: Of its own, empty.
    """

    kind: ClassVar[str]
    user: ClassVar[str]
    """Whom it runs as where the tests run as root, whom it refuses to run as."""
    programs: ClassVar[tuple[str, ...]]
    package: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._starts = 0

    @property
    @abstractmethod
    def url(self) -> URL:
        """Of its database for the tests."""

    @property
    @abstractmethod
    def admin_url(self) -> URL:
        """Of the server, for its administrator."""

    @abstractmethod
    def prepare(self) -> None:
        """Make its files."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return what begins it."""

    @abstractmethod
    def create_database(self, folder: Path | None) -> None:
        """Make the database for the tests.

        Args:
            folder: Where its tables are to be; None: where the server has all.
        """

    @abstractmethod
    def crash(self) -> None:
        """End it at once, so that it has to recover when it starts again."""

    @property
    def database(self) -> Database:
        return Database(kind=self.kind, url=self.url)

    def start(self) -> None:
        """Start it, and return once it answers."""
        end = time.monotonic() + START_SECONDS
        self._starts += 1
        self.process = Command(
            self.command(), f"server-{self._starts}", self.folder, user=_user(self.user)
        )
        while not self._answers():
            assert self.process.is_alive, self.process.log
            assert time.monotonic() < end, self.process.log
            time.sleep(0.02)

    def see_that_it_runs(self) -> None:
        # MariaDB gives up where its disk stays full: "We intentionally generate a
        # memory trap".
        if not self.process.is_alive:
            self.start()

    def run(self, name: str, *arguments: str) -> None:
        """Run one of its programs to its end."""
        done = subprocess.run(
            [path_of(name) or name, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            user=_user(self.user),
            timeout=START_SECONDS,
        )
        assert done.returncode == 0, done.stderr

    def execute(self, *statements: str) -> None:
        """Execute statements as the server's administrator."""
        admin = create_engine(
            self.admin_url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        with admin.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def new_folder(self, path: Path) -> Path:
        """Make a folder that the server may write to."""
        path.mkdir()
        _give(path, self.user)
        return path

    def _answers(self) -> bool:
        try:
            self.execute()
        except DBAPIError:
            return False
        return True


class OwnPostgresql(OwnServer):
    """A cluster of PostgreSQL."""

    kind = "postgresql"
    user = "postgres"
    programs = ("initdb", "postgres")
    package = "postgresql"

    @property
    def url(self) -> URL:
        return self.admin_url.set(database="app")

    @property
    def admin_url(self) -> URL:
        return make_url(f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres")

    def prepare(self) -> None:
        data = f"{self.folder}/data"
        self.run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8")

    def command(self) -> Sequence[str]:
        return [
            path_of("postgres") or "postgres",
            *("-D", f"{self.folder}/data", "-k", str(self.folder)),
            *("-h", "127.0.0.1", "-p", str(self.port)),
            # The machine goes on, so what the server has written is not lost.
            *("-c", "fsync=off"),
        ]

    def create_database(self, folder: Path | None) -> None:
        if folder is None:
            self.execute("CREATE DATABASE app")
            return
        place = self.new_folder(folder / "tables")
        self.execute(
            f"CREATE TABLESPACE small LOCATION '{place}'",
            "CREATE DATABASE app TABLESPACE small",
        )

    def crash(self) -> None:
        self.process.send(signal.SIGQUIT)  # pg_ctl stop -m immediate
        assert self.process.wait(30) is not None

    def forbid_writing(self) -> None:
        self._set_read_only("on")

    def allow_writing(self) -> None:
        self._set_read_only("off")

    def make_sessions_read_only(self) -> None:
        """Let all sessions begin anew, and be read-only as long as they last.

        So are those that found a standby where the primary had been.
        """
        self.execute(
            "ALTER DATABASE app SET default_transaction_read_only = on",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = 'app'",
        )

    def make_new_sessions_writable(self) -> None:
        """Let sessions that begin from now on write."""
        self.execute("ALTER DATABASE app RESET default_transaction_read_only")

    def _set_read_only(self, value: str) -> None:
        self.execute(
            f"ALTER SYSTEM SET default_transaction_read_only = {value}",
            "SELECT pg_reload_conf()",
        )


class OwnMariadb(OwnServer):
    """A server of MariaDB."""

    kind = "mariadb"
    user = "mysql"
    programs = ("mariadb-install-db", "mariadbd")
    package = "mariadb-server"

    @property
    def url(self) -> URL:
        # Not root, who may write where nobody may.
        return self.admin_url.set(username="app", database="app")

    @property
    def admin_url(self) -> URL:
        return make_url(f"mariadb+pymysql://root@127.0.0.1:{self.port}/mysql")

    def prepare(self) -> None:
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--tmpdir={self.new_folder(self.folder / 'scratch')}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )

    def command(self) -> Sequence[str]:
        return [
            path_of("mariadbd") or "mariadbd",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            # As it starts it removes what others have in a folder that they share.
            f"--tmpdir={self.folder}/scratch",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
        ]

    def create_database(self, folder: Path | None) -> None:
        if folder is None:
            self.execute("CREATE DATABASE app")
        else:  # a database is a directory
            place = self.new_folder(folder / "app")
            (self.folder / "data" / "app").symlink_to(place)
        self.execute("CREATE USER app@127.0.0.1", "GRANT ALL ON app.* TO app@127.0.0.1")

    def crash(self) -> None:
        self.process.kill()

    def forbid_writing(self) -> None:
        self.execute("SET GLOBAL read_only = 1")

    def allow_writing(self) -> None:
        self.execute("SET GLOBAL read_only = 0")


SERVERS: Final[dict[str, type[OwnServer]]] = {
    server.kind: server for server in (OwnPostgresql, OwnMariadb)
}


@contextmanager
def own_database(kind: str, tables_folder: Path | None = None) -> Iterator[OwnDatabase]:
    """Yield a database, or skip (in CI: fail) where a server's programs are missing.

    Args:
        kind: Of which database.
        tables_folder: Where its tables are to be; None: in a folder of its own.
    """
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            database = OwnSqlite(tables_folder or Path(folder))
            database.create_tables()
            yield database
    else:
        with _own_server(SERVERS[kind], tables_folder) as server:
            yield server


@contextmanager
def _own_server(
    kind: type[OwnServer], tables_folder: Path | None
) -> Iterator[OwnServer]:
    _skip_without(kind)
    # Not below pytest's folder, which only the user of the tests may enter.
    folder = Path(tempfile.mkdtemp(prefix=f"hydro-{kind.kind}-"))
    server = kind(folder)
    _give(folder, server.user)
    try:
        server.prepare()
        server.start()
        try:
            server.create_database(tables_folder)
            server.create_tables()
            yield server
        finally:
            server.process.kill()
    finally:
        shutil.rmtree(folder)


def path_of(name: str) -> str | None:
    """Return the path of a server's program; None where it is not installed."""
    folders = [str(path) for place in FOLDERS for path in Path("/").glob(place[1:])]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


def _skip_without(kind: type[OwnServer]) -> None:
    lacking = [name for name in kind.programs if path_of(name) is None]
    if not lacking:
        return
    reason = (
        f"there is no {' and no '.join(lacking)} here, with which the test would start"
        f" a server of its own: apt-get install {kind.package}"
    )
    missing(reason)


def _user(name: str) -> str | None:
    """Return whom a server runs as: root gives itself up, others stay who they are."""
    return name if os.geteuid() == 0 else None


def _give(folder: Path, name: str) -> None:
    if _user(name) is not None:
        shutil.chown(folder, name)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
