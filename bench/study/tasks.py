"""The parts of the study that run by themselves, and the cache that lets it go on where it was."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from hashlib import blake2b
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import msgspec
import orjson

from bench.study import cost, faults, flights, incidents, peers, raw_weeks, robust, streams, watched
from bench.study.plan import Sizes
from bench.study.world import KINDS

ROOT = Path(__file__).parents[2]
DECIDING = ("sketches", "alerts", "consumer", "bench/study")
# What says how much is run, and what is made of it.
REPORTING = {"plan.py", "tasks.py", "rows.py", "report.py", "__main__.py"}
FAULTS = ("nulls", "unit change", "stuck", "new category", "volume")
Task = Callable[[], Any]


def tasks(size: Sizes) -> dict[str, Task]:
    """All of them by name, the longest first, then one seed after the other."""
    nulls = streams.nulls(size.null_window, size.null_records)
    found: dict[str, Task] = {}
    for part in range(size.incident_parts):
        found[f"incidents/{part}"] = partial(_incidents, size, part)
    found["faults"] = partial(incidents.summed, size.faults, FAULTS, 7)
    found["flights"] = flights.undisturbed
    for name in _flight_faults(size):
        found[f"flights/{name}"] = partial(_flights, size, name)
    found["not finite"] = partial(robust.not_finite, size.robust, list(KINDS), 10)
    found["restart"] = partial(robust.restarted, size.robust, list(KINDS), 11)
    # By seed, so that a run which is stopped has some of everything.
    for seed in range(max(size.world_seeds, size.fast_seeds, size.null_seeds)):
        if seed == min(1, size.null_seeds - 1):
            found |= _beside(size)
        if seed < size.world_seeds:
            found[f"world/{seed}"] = partial(_world, size, seed)
        for per_second in (1_000, 10) if seed < size.fast_seeds else ():
            name = streams.independent(per_second).name
            found[f"{name}/{seed}"] = partial(_independent, size, per_second, seed)
        for name in nulls if seed < size.null_seeds else ():
            found[f"null/{name}/{seed}"] = partial(_null, size, name, seed)
    return found


def _beside(size: Sizes) -> dict[str, Task]:
    """Spikes, peers, raw records: what the streams themselves do not wait for."""
    nulls = streams.nulls(size.null_window, size.null_records)
    found: dict[str, Task] = {"spikes": partial(incidents.summed, size.spikes, ("spike",), 9)}
    for name in nulls | _others():
        found[f"peers/{name}"] = partial(_peers, size, name)
    for name in nulls:
        found[f"raw/{name}"] = partial(_raw, size, name)
    return found | {"cost": partial(cost.run, size.cost)}


def _others() -> dict[str, streams.Stream]:
    both = (streams.independent(1_000), streams.independent(10), streams.bench_world())
    return {stream.name: stream for stream in both}


def _flight_faults(size: Sizes) -> dict[str, tuple[flights.Break, str]]:
    return flights.FAULTS | flights.SHIFTS if size.flights else {}


def _null(size: Sizes, name: str, seed: int) -> dict[str, Any]:
    stream = streams.nulls(size.null_window, size.null_records)[name]
    held = faults.SLOW if "location" in stream.layout.signals else {}
    return _told(watched.run(stream, size.nulls, held, seed))


def _independent(size: Sizes, per_second: int, seed: int) -> dict[str, Any]:
    held = faults.FAST if per_second == 1_000 else faults.SLOW
    return _told(watched.run(streams.independent(per_second), size.fast, held, seed))


def _world(size: Sizes, seed: int) -> dict[str, Any]:
    return _told(watched.run(streams.bench_world(), size.world, faults.WORLD, seed))


def _told(found: watched.Watched) -> dict[str, Any]:
    return found._asdict()


def _peers(size: Sizes, name: str) -> dict[str, Any]:
    stream = (streams.nulls(size.null_window, size.null_records) | _others())[name]
    features, weeks, records = size.peers
    # Windows of ten seconds are many: no more of them than of the others.
    weeks *= min(stream.window / size.null_window, 1.0)
    rows = peers.per_window(stream, weeks, features, 0)
    return rows | peers.per_record(stream, records, 0)


def _raw(size: Sizes, name: str) -> dict[str, Any]:
    stream = streams.nulls(size.null_window, size.null_records)[name]
    return raw_weeks.run(stream, size.raw, 0)


def _incidents(size: Sizes, part: int) -> dict[str, Any]:
    kinds = list(KINDS)
    turned = part * size.incidents.models * size.incidents.slots % len(kinds)
    return incidents.summed(size.incidents, (*kinds[turned:], *kinds[:turned]), part)


def _flights(size: Sizes, name: str) -> dict[str, Any]:
    change, feature = _flight_faults(size)[name]
    return flights.injected(change, feature, size.flights, 6)._asdict()


def digest() -> str:
    """Of the code that decides, so that no result outlives it."""
    found = blake2b(digest_size=8)
    for top in DECIDING:
        for path in sorted((ROOT / top).rglob("*.py")):
            if path.name not in REPORTING:
                found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def run(
    size: Sizes,
    wanted: Mapping[str, Task],
    folder: Path | None,
    workers: int,
    seconds: float = math.inf,
) -> dict[str, Any]:
    """Results by name, of a task or of the cache; those that there was no time for are left out.

    Args:
        size: Of the study.
        wanted: Tasks.
        folder: Of the cache; None: none.
        workers: Processes.
        seconds: After which no task is begun any more.
    """
    each = {key: held for key, held in size._asdict().items() if not key.endswith("_seeds")}
    code = f"{digest()} {orjson.dumps(msgspec.to_builtins(each)).decode()}"
    key = blake2b(code.encode(), digest_size=8).hexdigest()
    found: dict[str, Any] = {}
    if folder is not None:
        folder.mkdir(exist_ok=True)
        for name in wanted:
            path = _path(folder, key, name)
            if path.exists():
                found[name] = orjson.loads(path.read_bytes())
    rest = iter([name for name in wanted if name not in found])
    begun = monotonic()
    going: dict[Future[tuple[float, Any]], str] = {}
    with ProcessPoolExecutor(workers) as pool:
        while True:
            while len(going) < workers and monotonic() - begun < seconds:
                begin = next(rest, None)
                if begin is None:
                    break
                going[pool.submit(_timed, wanted[begin])] = begin
            if not going:
                break
            for future in wait(going, return_when=FIRST_COMPLETED).done:
                name = going.pop(future)
                cpu, found[name] = future.result()
                if folder is not None:
                    _path(folder, key, name).write_bytes(orjson.dumps(found[name]))
                sys.stderr.write(f"{monotonic() - begun:7.1f} s  {name} (CPU {cpu:.1f} s)\n")
    return {name: found[name] for name in wanted if name in found}


def _timed(task: Task) -> tuple[float, Any]:
    begun = process_time()
    value = orjson.loads(orjson.dumps(_plain(task())))
    return process_time() - begun, value


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Named tuples as tables; infinite and unknown numbers as null."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {key: _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    return value


def _path(folder: Path, key: str, name: str) -> Path:
    return folder / f"{key}-{blake2b(name.encode(), digest_size=6).hexdigest()}.json"
