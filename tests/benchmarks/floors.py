"""The plainest way to move the rows that the services have written: what nothing can undercut by much."""

import tempfile
from collections.abc import Callable, Sequence
from typing import IO, Any

from django.db import connection, models, transaction

from tests.benchmarks import time_call

Tables = Sequence[type[models.Model]]
PIECE = 1 << 20


def clear(tables: Tables) -> None:
    """Empty the tables and leave no dead rows behind."""
    with connection.cursor() as cursor:
        for model in tables:
            is_postgresql = connection.vendor == "postgresql"
            command = "TRUNCATE" if is_postgresql else "DELETE FROM"
            cursor.execute(f"{command} {_name(model)}")


def _name(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


class Floor:
    """Takes the stored rows out once, and writes the same into the emptied tables."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.name = "COPY" if connection.vendor == "postgresql" else "executemany"

    def out_and_in(self) -> tuple[float, float]:
        """Seconds of both ways. On SQLite only the way in counts: its rows are in the same process."""
        move = self._copy if connection.vendor == "postgresql" else self._executemany
        return move()

    def _copy(self) -> tuple[float, float]:
        with tempfile.TemporaryFile() as file:
            ends: list[int] = []

            def take_out() -> None:
                for model in self.tables:
                    copy_out(f"SELECT * FROM {_name(model)}", file)  # noqa: S608
                    ends.append(file.tell())

            out = time_call(take_out)
            clear(self.tables)
            file.seek(0)
            return out, time_call(lambda: self._put_in(file, ends))

    def _put_in(self, file: IO[bytes], ends: list[int]) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            for model, end in zip(self.tables, ends, strict=True):
                with cursor.copy(f"COPY {_name(model)} FROM STDIN (FORMAT BINARY)") as copy:
                    while left := end - file.tell():
                        copy.write(file.read(min(left, PIECE)))

    def _executemany(self) -> tuple[float, float]:
        rows: list[tuple[str, list[tuple[Any, ...]]]] = []
        for model in self.tables:
            with connection.cursor() as cursor:
                found = cursor.cursor.execute(f"SELECT * FROM {_name(model)}")  # noqa: S608
                marks = ", ".join("?" * len(found.description))
                rows.append((f"INSERT INTO {_name(model)} VALUES ({marks})", _plain(found.fetchall())))  # noqa: S608
        clear(self.tables)

        def put_in() -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                for sql, values in rows:
                    cursor.cursor.executemany(sql, values)

        return 0.0, time_call(put_in)


def _plain(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What the driver has made of dates and decimals, as it takes them."""
    return [
        tuple(value if isinstance(value, int | float | str | None) else str(value) for value in row)
        for row in rows
    ]


def copy_out(query: str, file: IO[bytes]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)") as copy,
    ):
        for piece in copy:
            file.write(piece)


def medians(rounds: int, step: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Of each figure the median over the rounds."""
    found = [step() for _ in range(rounds)]
    return {name: sorted(each[name] for each in found)[rounds // 2] for name in found[0]}
