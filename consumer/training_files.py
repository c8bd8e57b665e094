"""Training sets as files: CSV and Parquet rows as the JSON records that a service would log."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from .batch import NO_TIME, RawBatch
from .replay_inputs import ReplayError

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_WORDS: Final = {"": None, "true": True, "false": False, "True": True, "False": False}
_SEPARATORS: Final = ",;\t|"
_CSV: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_PARQUET: Final = (".parquet", ".pq")
_ROWS: Final = 8_192  # of Parquet at once
_DATES: Final = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def is_table(path: str) -> bool:
    """Whether the name is that of a CSV or Parquet file."""
    return path.lower().endswith((*_CSV, *_PARQUET))


def open_table(path: str, topic: str) -> TableFile:
    """A CSV or Parquet file, by its name.

    Raises:
        ReplayError: It cannot be read.
    """
    return ParquetFile(path, topic) if path.lower().endswith(_PARQUET) else CsvFile(path, topic)


class CsvFile:
    """A CSV file with a header; each row is a record with the columns as keys.

    The types are those that JSON would have, told for each value: numbers, ``true`` and ``false``
    (``True``, ``False``), nothing is null, everything else is text, ``007`` too.

    Attributes:
        name: Path of the file.
        columns: Of its header.
    """

    def __init__(self, path: str, topic: str) -> None:
        self.name = path
        self.topic = topic
        self.partition = self.start = 0
        self._line = 0  # the last one read
        self._lines: list[int] = []  # of the batch read last
        self._first = 0  # number of its first row
        self._text = io.TextIOWrapper(_opened(path), encoding="utf-8-sig", newline="")
        try:
            self._rows = csv.reader(self._text, delimiter=self._separator(), strict=True)
            self.columns = self._header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._text.close()

    def _separator(self) -> str:
        """What stands most often in the header."""
        try:
            header = self._text.readline()
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise self._unreadable(1, error) from error
        self._text.seek(0)
        return max(_SEPARATORS, key=header.count)

    def _unreadable(self, line: int, error: Exception) -> ReplayError:
        if isinstance(error, UnicodeDecodeError):
            why = f"not UTF-8 ({error.reason}); convert it first, for example with iconv"
        else:
            why = str(error)
        return ReplayError(f"{self.name}: line {line} or soon after: {why}")

    def _header(self) -> tuple[str, ...]:
        columns = tuple(next(self._records(), ()))
        if not columns:
            raise ReplayError(f"{self.name}: line 1: no header; it must name the columns")
        for place, column in enumerate(columns, start=1):
            if not column:
                raise ReplayError(f"{self.name}: line 1: column {place} has no name")
            if columns.index(column) + 1 != place:
                first = columns.index(column) + 1
                raise ReplayError(
                    f"{self.name}: line 1: columns {first} and {place} are both named {column!r}"
                )
        return columns

    def _records(self) -> Iterator[list[str]]:
        """Rows, each with its first line in ``_line``; empty lines are left out."""
        while True:
            self._line = self._rows.line_num + 1
            try:
                row = next(self._rows, None)
            except csv.Error as error:
                raise ReplayError(f"{self.name}: line {self._line}: {error}") from error
            except (UnicodeDecodeError, OSError, EOFError) as error:
                raise self._unreadable(self._line, error) from error
            if row is None:
                return
            if row:
                yield row

    def read(self, records: int) -> RawBatch | None:
        """The next rows as records."""
        self._first += len(self._lines)
        self._lines = []
        values: list[bytes | None] = []
        for row in islice(self._records(), records):
            if len(row) != len(self.columns):
                raise ReplayError(
                    f"{self.name}: line {self._line}: {len(row)} columns, the header has "
                    f"{len(self.columns)}"
                )
            self._lines.append(self._line)
            values.append(orjson.dumps(dict(zip(self.columns, map(_value, row), strict=True))))
        return _batch(self, self._first, values)

    def share(self) -> float | None:
        """Unknown."""
        return None

    def where(self, offset: int) -> str:
        """Where a record of the batch read last stands."""
        return f"{self.name}: line {self._lines[offset - self._first]}"


class ParquetFile:
    """A Parquet file; each row is a record with the columns as keys.

    Attributes:
        name: Path of the file.
        columns: Of its schema.
    """

    def __init__(self, path: str, topic: str) -> None:
        self.name = path
        self.topic = topic
        self.partition = self.start = 0
        self._next = 0
        try:
            self._arrow: Any = import_module("pyarrow")
            parquet: Any = import_module("pyarrow.parquet")
        except ImportError as error:
            raise ReplayError(
                f"{path}: reading Parquet needs pyarrow: install streamgauge[parquet]"
            ) from error
        try:
            self._file = parquet.ParquetFile(path)
        except OSError as error:
            raise ReplayError(f"{path}: {error.strerror or error}") from error
        except self._arrow.ArrowException as error:
            raise ReplayError(f"{path}: not a Parquet file: {error}") from error
        schema = self._file.schema_arrow
        self.columns = tuple(schema.names)
        self._rows = self._records(schema)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _records(self, schema: Any) -> Iterator[bytes]:  # noqa: ANN401 - pyarrow has no types
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS):
                columns = [
                    self._values(field, column)
                    for field, column in zip(schema, batch.columns, strict=True)
                ]
                for row in zip(*columns, strict=True):
                    yield orjson.dumps(dict(zip(self.columns, row, strict=True)), option=_DATES)
        except (self._arrow.ArrowException, OSError) as error:
            raise ReplayError(f"{self.name}: after row {self._next}: {error}") from error

    def _values(self, field: Any, column: Any) -> list[Any]:  # noqa: ANN401
        """A column as values that JSON knows."""
        kinds, kind = self._arrow.types, field.type
        try:
            if kinds.is_timestamp(kind):  # nanoseconds are more than a datetime holds
                column = column.cast(self._arrow.timestamp("us", tz=kind.tz), safe=False)
            elif kinds.is_decimal(kind):
                column = column.cast(self._arrow.float64())
            values: list[Any] = column.to_pylist()
            for value in values:
                if value is not None:
                    orjson.dumps(value)
                    break
        except (self._arrow.ArrowException, TypeError, ValueError) as error:
            raise ReplayError(
                f"{self.name}: column {field.name!r} of type {kind} is nothing that JSON can hold; "
                "write the file without it"
            ) from error
        return values

    def read(self, records: int) -> RawBatch | None:
        """The next rows as records."""
        values: list[bytes | None] = list(islice(self._rows, records))
        first, self._next = self._next, self._next + len(values)
        return _batch(self, first, values)

    def share(self) -> float | None:
        """By rows."""
        rows: int = self._file.metadata.num_rows
        return self._next / rows if rows else 1.0

    def where(self, offset: int) -> str:
        """Where a record stands."""
        return f"{self.name}: row {offset + 1}"


TableFile = CsvFile | ParquetFile


def _opened(path: str) -> io.BufferedReader | gzip.GzipFile:
    try:
        if path.lower().endswith(".gz"):
            return gzip.open(path, "rb")
        return Path(path).open("rb")
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from error


def _value(text: str) -> object:
    """The value that JSON would have for a cell."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-0123456789" or (number := _NUMBER.fullmatch(text)) is None:
        return text
    if number[1] is None and number[2] is None and len(text) < 19:
        return int(text)
    value = float(text)
    return text if value in (float("inf"), float("-inf")) else value


def _batch(source: TableFile, first: int, values: list[bytes | None]) -> RawBatch | None:
    if not values:
        return None
    return RawBatch(
        source.topic,
        source.partition,
        np.arange(first, first + len(values), dtype=np.int64),
        np.full(len(values), NO_TIME, dtype=np.int64),
        values,
    )
