from __future__ import annotations

import csv
import math
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer import training
from consumer.batch import RecordKey
from consumer.replay_inputs import ReplayError
from consumer.settings import InputSettings, Settings
from consumer.training import Training, build
from consumer.training_texts import difference_lines, spark, training_lines
from sketches.comparison import compare
from sketches.description import Description, describe
from sketches.table import Kind

KEY = RecordKey("m", "", "")
START = 1_767_225_600  # 2026-01-01T00:00:00Z
SETTINGS = Settings(inputs=(InputSettings(name="one", topics=("t",), window=60_000_000),))
HEADER = ("ts", "amount", "country", "new", "age")


def rows_of(count: int, seed: int = 1, shift: float = 0.0) -> list[list[str]]:
    chance = random.Random(seed)
    return [
        [
            str(START + 10 * row),
            f"{chance.gauss(50 + shift, 9):.3f}",
            chance.choice(["de", "de", "fr"]),
            chance.choice(["true", "false"]),
            "" if chance.random() < 0.1 else str(chance.randint(18, 80)),
        ]
        for row in range(count)
    ]


def write_csv(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def records_of(rows: list[list[str]]) -> list[dict[str, object]]:
    """The rows as a service would log them."""
    return [
        {
            "ts": int(ts),
            "amount": float(amount),
            "country": country,
            "new": new == "true",
            "age": int(age) if age else None,
        }
        for ts, amount, country, new, age in rows
    ]


def described(found: Training) -> dict[str, Description]:
    return {each.name: each for each in describe(found.baseline)}


def test_csv_json_lines_and_parquet_of_the_same_rows_are_the_same_baseline(tmp_path: Path) -> None:
    rows = rows_of(300)
    ids = {build(SETTINGS, [write_csv(tmp_path / "a.csv", rows)], KEY).baseline.id}
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(b"\n".join(map(orjson.dumps, records_of(rows))))
    ids.add(build(SETTINGS, [str(lines)], KEY).baseline.id)
    pq.write_table(pa.Table.from_pylist(records_of(rows)), tmp_path / "a.parquet")
    ids.add(build(SETTINGS, [str(tmp_path / "a.parquet")], KEY).baseline.id)
    assert len(ids) == 1


@given(batch=st.integers(1, 700), cuts=st.lists(st.integers(0, 600), max_size=3))
@settings(max_examples=12, deadline=None)
def test_any_batches_and_any_files_give_the_same_baseline(
    batch: int, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, rows = tmp_path_factory.mktemp("cut"), rows_of(600)
    random.Random(2).shuffle(rows)
    whole = build(SETTINGS, [write_csv(folder / "all.csv", rows)], KEY)
    borders = [0, *sorted(cuts), 600]
    files = [
        write_csv(folder / f"{at}.csv", rows[start:stop])
        for at, (start, stop) in enumerate(pairwise(borders))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "BATCH", batch)
        assert build(SETTINGS, files, KEY).baseline.id == whole.baseline.id


def test_chunks_are_cut_by_count_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "a.csv", rows_of(1_000))
    monkeypatch.setattr(training, "CHUNK", 64)
    monkeypatch.setattr(training, "_AT_ONCE", 256)
    monkeypatch.setattr(training, "_WINDOWS", 40)
    ids = set()
    for batch in (1, 77, 255, 256, 1_000):
        monkeypatch.setattr(training, "BATCH", batch)
        ids.add(build(SETTINGS, [path], KEY).baseline.id)
    assert len(ids) == 1


def test_blocks_hold_the_rows_with_times_in_their_order(tmp_path: Path) -> None:
    found = build(SETTINGS, [write_csv(tmp_path / "a.csv", rows_of(1_000))], KEY).baseline
    assert sum(each.profile.records for each in found.blocks) > 900
    assert all(each.profile.records >= 100 for each in found.blocks)
    ends = [(each.start, each.end) for each in found.blocks]
    assert ends == sorted(ends)
    assert found.blocks[0].start == START * 1_000_000


def test_cells_are_of_the_types_that_json_has(tmp_path: Path) -> None:
    row = ["1", "-2.5e3", "true", "False", "", "007", "nan", "x", "1e999", "+1"]
    path = write_csv(tmp_path / "a.csv", [row], [f"c{at}" for at in range(len(row))])
    profile = build(SETTINGS, [path], KEY).baseline.profile
    kinds = {
        name: Kind(int(counts.argmax()))
        for name, counts in zip(profile.names, profile.kinds, strict=True)
    }
    assert [kinds[f"c{at}"] for at in range(len(row))] == [
        *(Kind.NUMBER, Kind.NUMBER, Kind.BOOLEAN, Kind.BOOLEAN, Kind.NULL),
        *(Kind.TEXT, Kind.TEXT, Kind.TEXT, Kind.TEXT, Kind.TEXT),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1: no header"),
        ("a,b,a\n1,2,3\n", "line 1: columns 1 and 3 are both named 'a'"),
        ("a,,c\n1,2,3\n", "line 1: column 2 has no name"),
        ("a,b\n1,2\n\n1,2,3\n", "line 4: 3 columns, the header has 2"),
        ('a,b\n1,"2\n', "line 2: unexpected end of data"),
    ],
)
def test_a_csv_that_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(ReplayError, match=f"wrong.csv: {why}"):
        build(SETTINGS, [str(path)], KEY)


def test_a_csv_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("a,b\n1,Zürich\n".encode("latin-1"))
    with pytest.raises(ReplayError, match=r"latin.csv: line 1 or soon after: not UTF-8"):
        build(SETTINGS, [str(path)], KEY)


def test_a_parquet_column_that_json_cannot_hold_is_named(tmp_path: Path) -> None:
    path = tmp_path / "raw.parquet"
    pq.write_table(pa.table({"x": [1.0], "raw": [b"\x00\xff"]}), path)
    with pytest.raises(ReplayError, match="column 'raw' of type binary"):
        build(SETTINGS, [str(path)], KEY)
    (tmp_path / "no.parquet").write_bytes(b"nothing")
    with pytest.raises(ReplayError, match=r"no.parquet: not a Parquet file"):
        build(SETTINGS, [str(tmp_path / "no.parquet")], KEY)
    with pytest.raises(ReplayError, match=r"lost.parquet: .*"):
        build(SETTINGS, [str(tmp_path / "lost.parquet")], KEY)


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("consumer.training_files.import_module", missing)
    with pytest.raises(ReplayError, match=r"install streamgauge\[parquet\]"):
        build(SETTINGS, [str(tmp_path / "a.parquet")], KEY)


def test_rows_of_others_are_left_out_and_told(tmp_path: Path) -> None:
    rows = [[row[1], "m" if at % 3 else "other"] for at, row in enumerate(rows_of(30))]
    path = write_csv(tmp_path / "a.csv", rows, ("amount", "model"))
    found = build(SETTINGS, [path], KEY)
    assert found.records == 20
    assert "10 rows of model other are left out" in training_lines(found)
    with pytest.raises(ReplayError, match="no row of model nobody: its rows are of m, other"):
        build(SETTINGS, [path], RecordKey("nobody", "", ""))


def test_lines_that_cannot_be_read_are_told_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"x": 1}\n{"x": \n{"x": 2}\n')
    found = build(SETTINGS, [str(path)], KEY)
    assert found.records == 2
    assert any("a.jsonl: line 2: json_syntax" in line for line in training_lines(found))


def test_a_path_of_the_field_map_without_a_column_is_told(tmp_path: Path) -> None:
    one = SETTINGS.inputs[0]
    nested = one.fields.model_copy(update={"event_time": "meta.ts", "features": "features"})
    settings = SETTINGS.model_copy(update={"inputs": (one.model_copy(update={"fields": nested}),)})
    found = build(settings, [write_csv(tmp_path / "a.csv", rows_of(10))], KEY)
    assert "amount" in found.baseline.profile.names
    assert "no column for the field map's event_time = 'meta.ts'" in found.notes[0]


def test_the_input_must_be_clear(tmp_path: Path) -> None:
    two = SETTINGS.model_copy(
        update={"inputs": (InputSettings(name="one", topics=("t", "u"), window=60_000_000),)}
    )
    path = write_csv(tmp_path / "a.csv", rows_of(10))
    with pytest.raises(ReplayError, match=r"names 2 topics \(t, u\): say with --topic"):
        build(two, [path], KEY)
    assert build(two, [path], KEY, topic="u").records == 10


def test_what_is_odd_is_told(tmp_path: Path) -> None:
    chance, walk, rows = random.Random(4), 0.0, []
    for row in range(4_000):
        walk += chance.gauss(0, 1)
        tail = math.exp(chance.gauss(0, 2))
        one = [str(START + 10 * row), str(row + 5), "7", f"u{row}", f"{tail:.4f}", f"{walk:.3f}"]
        rows.append([*one, "9" if row < 50 else "", str(chance.gauss(0, 1))])
    header = ("ts", "count", "same", "user", "tail", "walk", "rare", "plain")
    warned = {
        name: " ".join(one.warnings)
        for name, one in described(
            build(SETTINGS, [write_csv(tmp_path / "a.csv", rows, header)], KEY)
        ).items()
    }
    assert "unique ids" in warned["count"]
    assert warned["same"] == "constant"
    assert "unique ids" in warned["user"]
    assert "heavy tail" in warned["tail"]
    assert "strong autocorrelation" in warned["walk"]
    assert "too few values: 50" in warned["rare"]
    assert warned["plain"] == ""


def test_two_samples_of_one_distribution_are_not_apart_and_a_shift_comes_first(
    tmp_path: Path,
) -> None:
    one = build(SETTINGS, [write_csv(tmp_path / "a.csv", rows_of(3_000, 1))], KEY).baseline
    same = build(SETTINGS, [write_csv(tmp_path / "b.csv", rows_of(500, 2))], KEY).baseline
    moved = build(SETTINGS, [write_csv(tmp_path / "c.csv", rows_of(500, 3, 9.0))], KEY).baseline
    assert all(each.size < 0.05 for each in compare(one.profile, same.profile))
    first = compare(one.profile, moved.profile)[0]
    assert first.name == "amount"
    assert first.wasserstein == pytest.approx(1.0, abs=0.15)  # 9 of a standard deviation of 9
    assert first.ks == pytest.approx(0.383, abs=0.07)  # 2 Phi(1/2) - 1
    assert first.medians[1] - first.medians[0] == pytest.approx(9.0, abs=1.5)


def test_a_feature_of_one_alone_and_a_type_that_changed(tmp_path: Path) -> None:
    one = build(
        SETTINGS, [write_csv(tmp_path / "a.csv", [["1", "2"]] * 200, ("x", "gone"))], KEY
    ).baseline
    other = build(
        SETTINGS, [write_csv(tmp_path / "b.csv", [["a", "2"]] * 200, ("x", "fresh"))], KEY
    ).baseline
    found = {each.name: each for each in compare(one.profile, other.profile)}
    assert found["gone"].missing == (0.0, 1.0)
    assert found["fresh"].missing == (1.0, 0.0)
    assert found["fresh"].unseen == 1.0
    assert found["x"].unseen == 1.0
    assert len(difference_lines(("a", "b"), list(found.values()))) == 9


def test_spark() -> None:
    assert spark([0.5, 0.25, 0.0, 0.25]) == "█▅ ▅"
    assert spark([]) == ""
