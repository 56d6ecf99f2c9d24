"""One thread that owns one connection to the SQLite file, so that the event loop never waits for a disk.

Jobs that wait at the same moment share one transaction (group commit). Several processes, and several threads of one
process, may have the same file open: between processes SQLite's own lock decides, inside one a plain lock does, because
SQLite's busy handler sleeps for milliseconds where a lock is handed over in microseconds.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from shared.adapters.process import private_file
from shared.adapters.sqlite.reading import Readable, open_to_read

T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 10.0
CHANGE_POLL_SECONDS, IDLE_POLL_SECONDS = 0.01, 0.04
"""How often another process' commits are looked for (`PRAGMA data_version`: a look into shared memory), while there is
work and while there is none."""
BUSY_SECONDS = 2.0
"""After a job or a foreign commit, more are expected for this long."""
GROUP_LIMIT = 256
LARGEST_LOG_BYTES = 64 * 1024 * 1024
"""Size of the write-ahead log after a checkpoint; otherwise it keeps its largest size."""

_write_locks: dict[str, threading.Lock] = {}
_write_locks_guard = threading.Lock()


class Transaction:
    """What a job gets: `connection` to read at once, and to write after `begin`. A job may run twice."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.Lock) -> None:
        self.connection = connection
        self._lock = lock
        self._begun = False

    def begin(self) -> None:
        """Take the write lock. Idempotent."""
        if self._begun:
            return
        self._lock.acquire()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._lock.release()
            raise
        self._begun = True

    def end(self, statement: str) -> None:
        """COMMIT or ROLLBACK, if a transaction is open."""
        if not self._begun:
            return
        try:
            self.connection.execute(statement)
        except sqlite3.Error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        finally:
            self._begun = False
            self._lock.release()


_Result = tuple["asyncio.Future[Any]", Any, BaseException | None]


class SqliteThread:
    """Runs jobs on its own connection, opened at the first job. Errors of SQLite are raised as `unavailable`."""

    def __init__(
        self,
        path: Path | str,
        name: str,
        unavailable: type[Exception],
        prepare: Callable[[Transaction], None],
        on_foreign_change: Callable[[sqlite3.Connection], bool] | None = None,
        may_read: Callable[[sqlite3.Connection], Readable] | None = None,
    ) -> None:
        """`prepare` makes the tables. `on_foreign_change` is called in the thread, with the connection, after another
        connection's commit, until it returns True: the change is taken note of.

        With `may_read`, which looks at what is in the file, the connection is for reading: it takes no write lock and
        works on a copy that cannot be written; only a file that is not ready is prepared first.
        """
        self._may_read = may_read
        self.path = Path(path).absolute()
        with _write_locks_guard:
            self._lock = _write_locks.setdefault(str(self.path.resolve()), threading.Lock())
        self._name = name
        self._unavailable = unavailable
        self._prepare = prepare
        self._on_foreign_change = on_foreign_change
        self._jobs: SimpleQueue[tuple[Callable[[Transaction], Any] | None, asyncio.Future[Any]]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._data_version = 0
        self._looked_at = self._busy_at = 0.0

    async def run(self, job: Callable[[Transaction], T]) -> T:
        """The job's value, after its transaction is committed."""
        if self._closed:
            raise self._unavailable(f"{self.path} was closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, future))
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        return await future

    async def close(self) -> None:
        """Finish the waiting jobs and close the connection."""
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._jobs.put((None, future))
            await future

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            group = self._next_group(connection)
            closing = [future for job, future in group if job is None]
            jobs = [(job, future) for job, future in group if job is not None]
            try:
                if jobs and connection is None:
                    connection = self._open()
                results = self._run_group(connection, jobs) if connection is not None else []
            except Exception as error:  # noqa: BLE001 - it is handed to those who asked
                results = [(future, None, self._error(error)) for _, future in jobs]
            if closing and connection is not None:
                connection.close()
            _settle(results + [(future, None, None) for future in closing])
            if closing:
                return

    def _next_group(
        self, connection: sqlite3.Connection | None
    ) -> list[tuple[Callable[[Transaction], Any] | None, asyncio.Future[Any]]]:
        watches = connection is not None and self._on_foreign_change is not None
        while True:
            if watches:
                self._look_for_foreign_change(connection)
            try:
                group = [self._jobs.get(timeout=self._poll_seconds if watches else None)]
                self._busy_at = time.monotonic()
                break
            except Empty:
                continue
        try:
            while len(group) < GROUP_LIMIT:
                group.append(self._jobs.get_nowait())
        except Empty:
            pass
        return group

    @property
    def _poll_seconds(self) -> float:
        is_busy = time.monotonic() - self._busy_at < BUSY_SECONDS
        return CHANGE_POLL_SECONDS if is_busy else IDLE_POLL_SECONDS

    def _look_for_foreign_change(self, connection: sqlite3.Connection | None) -> None:
        if connection is None or self._on_foreign_change is None:
            return
        now = time.monotonic()
        if now - self._looked_at < CHANGE_POLL_SECONDS:
            return
        self._looked_at = now
        try:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version != self._data_version:
                self._busy_at = now
                if self._on_foreign_change(connection):
                    self._data_version = version
        except sqlite3.Error:
            pass  # the next job meets the same error and reports it

    def _run_group(
        self, connection: sqlite3.Connection, jobs: list[tuple[Callable[[Transaction], Any], asyncio.Future[Any]]]
    ) -> list[_Result]:
        transaction = Transaction(connection, self._lock)
        try:
            results: list[_Result] = [(future, job(transaction), None) for job, future in jobs]
            transaction.end("COMMIT")
            return results
        except Exception as error:  # noqa: BLE001 - it is handed to the one who asked
            self._undo(transaction)
            if len(jobs) == 1:
                return [(jobs[0][1], None, self._error(error))]
        # One of them failed and rolled back the others' work: each is run on its own.
        return [result for job in jobs for result in self._run_group(connection, [job])]

    def _undo(self, transaction: Transaction) -> None:
        try:
            transaction.end("ROLLBACK")
        except sqlite3.Error:
            pass  # the first error is the one to tell

    def _open(self) -> sqlite3.Connection:
        if self._may_read is None:
            return self._open_to_write()
        connection = open_to_read(self.path, self._may_read, least="ready")
        if connection is not None:
            return connection
        try:
            return self._open_to_write()
        except (sqlite3.OperationalError, OSError):
            connection = open_to_read(self.path, self._may_read, least="without all indexes")
            if connection is None:
                raise
            return connection

    def _open_to_write(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            private_file.make_file(self.path)
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from error
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, cached_statements=256
        )
        try:
            _use_wal(connection)
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA journal_size_limit={LARGEST_LOG_BYTES}")
            transaction = Transaction(connection, self._lock)
            try:
                self._prepare(transaction)
                transaction.end("COMMIT")
            except BaseException:
                self._undo(transaction)
                raise
        except BaseException:
            connection.close()
            raise
        return connection

    def _error(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error
        translated = self._unavailable(f"SQLite file {self.path}: {error}")
        translated.__cause__ = error
        return translated


def _use_wal(connection: sqlite3.Connection) -> None:
    """The busy handler does not cover the change to WAL: two processes that start together must retry."""
    give_up_at = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)


def _settle(results: list[_Result]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Result]] = {}
    for result in results:
        by_loop.setdefault(result[0].get_loop(), []).append(result)
    for loop, of_loop in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, of_loop)
        except RuntimeError:
            pass  # the loop has ended: nothing waits any more


def _resolve(results: list[_Result]) -> None:
    for future, value, error in results:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
