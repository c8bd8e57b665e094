"""The rule of windows, one record at a time: what consumer.borders must agree with.

Written from the rule, with plain integers; shares no code with what it checks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MINUTE = 60_000_000


@dataclass(frozen=True)
class Record:
    offset: int
    timestamp: int
    time: int | None
    key: tuple[str, str, str] = ("m", "", "")
    reject: str | None = None
    features: tuple[tuple[str, float | str | bool | None], ...] = ()


@dataclass(frozen=True)
class Counted:
    record: Record
    late: bool
    ahead: bool


@dataclass
class Reference:
    window: int
    lateness: int
    open_limit: int = 1000
    newest: int | None = None  # event time believed
    lag: int = 0
    latest: int | None = None  # max_event_time
    furthest: int | None = None
    closed: int | None = None
    closings: list[tuple[int, int]] = field(default_factory=list)
    open: dict[int, list[Counted]] = field(default_factory=dict)
    windows: dict[int, list[Counted]] = field(default_factory=dict)

    def feed(self, record: Record) -> None:
        time = None if record.reject else record.time
        ahead = time is not None and time > record.timestamp + 5 * MINUTE
        if time is None or ahead:
            time = record.timestamp - (self.lag if self.lag > 5 * MINUTE else 0)
        else:
            self.newest = time if self.newest is None else max(self.newest, time)
            self.lag = record.timestamp - self.newest
        end = (time // self.window + 1) * self.window
        late = self.closed is not None and end <= self.closed
        if self.closed is not None and late:
            end = (self.closed // self.window + 1) * self.window
        self.open.setdefault(end, []).append(Counted(record, late, ahead))
        moves = time - 5 * MINUTE if ahead else time
        self.latest = moves if self.latest is None else max(self.latest, moves)
        self.furthest = time if self.furthest is None else max(self.furthest, time)
        border = (self.latest - self.lateness) // self.window * self.window
        furthest_end = (self.furthest // self.window + 1) * self.window
        border = max(border, furthest_end - self.open_limit * self.window)
        if self.closed is None or border > self.closed:
            self.close(border, record.offset + 1)

    def close(self, through: int, at: int) -> None:
        if self.closed is not None and through <= self.closed:
            return
        self.closed = through
        self.closings.append((through, at))
        for end in sorted(end for end in self.open if end <= through):
            self.windows[end] = self.open.pop(end)
