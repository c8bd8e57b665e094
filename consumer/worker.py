"""The one loop: what is read, in which order its effects happen, and what is committed when.

The order, for everything that a checkpoint publishes:

1. profiles, rejects and alert events are produced and acknowledged;
2. the watermarks that announce the profiles are produced and acknowledged;
3. the offsets of input and log partitions are committed, with the borders in the metadata.

A crash between any two repeats what was published with the same content, and loses nothing. With
``delivery = "exactly_once"`` all three are one transaction. The answer to a commit is taken in the
loop; what must be durable before it is acted upon waits for it.
"""

from __future__ import annotations

import logging
import os
import signal
import time
import uuid
from contextlib import suppress
from types import FrameType

from . import logs
from .arrivals import Arrivals
from .blocked import Blocked
from .commit_state import BorderSettingsChanged, CommitStateError, IdleDecision
from .delivery import delivery
from .endpoint import Endpoint
from .failpoints import reach
from .inputs import InputPartition
from .kafka import Admin, Offset, Partition, Reader
from .kafka_batches import Item
from .kafka_defaults import BATCH
from .kafka_errors import explain
from .kafka_failures import KafkaFailure, PartitionError
from .last_resort import ends_process
from .log import FORMAT_VERSION, SettingsRecord, encode, settings_digest
from .log_partitions import LogPartition
from .meters import Meters
from .patience import Patience
from .publishing import Publisher
from .scan import UNREADABLE
from .settings import Settings
from .unreadable import Unreadable

TURN = 0.1  # seconds to wait for them
CHECKPOINT_EVERY = 0.2  # seconds
SNAPSHOT_EVERY = 60.0
STOP_WITHIN = 8.0  # seconds a last checkpoint may take after SIGTERM
LEAVE_WITHIN = 1.5  # seconds after that for the group to hear of it
BACK_OFF = 1.0  # seconds, doubled until something can be committed again
LONGEST_BACK_OFF = 8.0
ASK_WITHIN = 5.0  # seconds for the answer to a question
SAME_AGAIN = 30.0  # seconds until the same trouble is told once more


class Stopped(Exception):  # noqa: N818 - what happened, as a user would say it
    """The worker cannot go on; the text says why and what to do."""


class Worker:
    """One process of a group: reads, profiles, folds, publishes, commits."""

    def __init__(
        self, settings: Settings, meters: Meters, endpoint: Endpoint | None, *, drain: bool = False
    ) -> None:
        self._settings = settings
        self._drain = drain
        self._name = uuid.uuid4().hex[:12]
        self._stop = False
        self._patience = Patience(self._alive)
        self._leaving = False
        self._told: dict[str, float] = {}
        self._inputs: dict[Partition, InputPartition] = {}
        self._logs: dict[int, LogPartition] = {}
        self._checkpointed = 0.0
        self._admin = Admin(settings.kafka, ASK_WITHIN)
        self._meters = meters
        self._endpoint = endpoint
        wanted = [topic for one in settings.inputs for topic in one.topics]
        self._reader = Reader(
            settings.kafka,
            settings.group,
            [*wanted, settings.profiles_topic],
            self._assigned,
            self._revoked,
            self._lost,
            self._heard,
        )
        self._arrivals = Arrivals(settings, self._reader, self._admin)
        self._delivery = delivery(settings, self._name, self._reader, self._patience, self._heard)
        self._publisher = Publisher(
            settings, self._name, self._reader, self._arrivals, self._delivery, meters
        )
        self._blocked = Blocked(self._reader, self._admin)
        self._unreadable = Unreadable(settings, self._admin)
        self._back_off = BACK_OFF
        self._status = 1  # if this process has to end in the middle of something

    def run(self) -> int:
        """Go round until told to stop; the exit status.

        Raises:
            Stopped: It cannot go on.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        logs.event("started", app=self._settings.app, group=self._settings.group, worker=self._name)
        try:
            self._announce_settings()
            while not self._stop and not self._turn():
                pass
            self._last_checkpoint()
        except (BorderSettingsChanged, CommitStateError) as error:
            raise Stopped(str(error)) from error
        finally:
            self._leaving = True
            within = min(STOP_WITHIN, max(0.0, self._patience.left)) + LEAVE_WITHIN
            with suppress(KafkaFailure), ends_process("leave the group", within, self._status):
                self._reader.close()
            self._delivery.close()
        logs.event("stopped")
        return 0

    def _turn(self) -> bool:
        """Read once, work on it, publish what is due; True: all there is to do is done."""
        done, begun = False, time.monotonic()
        try:
            items = self._read()
            self._answered()
            now = time.monotonic()
            for item in items:
                if isinstance(item, PartitionError):
                    self._troubled(item)
                elif item.topic == self._settings.profiles_topic:
                    if (log := self._logs.get(item.partition)) is not None:
                        log.feed(item)
                elif (part := self._inputs.get((item.topic, item.partition))) is not None:
                    part.feed(item)
                    reach("after_feed")
            self._settle_arrivals()
            self._look_for_silence(now)
            if not self._stop:  # with a broker that is away each look takes its time
                self._look_for_transactions(now)
            if now - self._checkpointed >= CHECKPOINT_EVERY:
                self._checkpoint()
                self._align()
            done = self._drain and self._drained()
        except KafkaFailure as failure:
            self._recover(failure)
        self._seen(begun)
        return done

    def _seen(self, begun: float) -> None:
        """A turn that began then is over: what scrapes and probes are told."""
        self._meters.turns.add(time.monotonic() - begun)
        ready = bool(self._inputs or self._logs) and not self._arrivals.waiting()
        ends = ((part, self._reader.end(place)) for place, part in self._inputs.items())
        self._meters.look(ends, self._logs.values(), ready)
        self._alive()

    def _alive(self) -> None:
        if self._endpoint:
            self._endpoint.turn()

    def _read(self) -> list[Item]:
        try:
            return self._reader.consume(BATCH, TURN)
        except KafkaFailure as failure:
            if failure.kind == "fatal":  # no other call of this client will work either
                raise Stopped(f"{failure.text} ({failure.code}); start the worker again") from None
            raise

    # --- what a checkpoint does -----------------------------------------------------------------

    def _checkpoint(self) -> None:
        """Publish everything that is ready, then commit it."""
        begun = time.monotonic()
        waited = self._delivery.busy
        for log in self._logs.values():
            log.reached(self._reader.position(*self._place(log)) or 0)
        self._publisher.publish(self._inputs.values(), self._logs.values())
        now = time.monotonic()
        self._meters.checkpoints.add(now - begun)
        self._checkpointed = now
        if not waited:
            every = SNAPSHOT_EVERY
            self._snapshots([g for g in self._logs.values() if now - g.snapshot_at >= every])

    def _snapshots(self, due: list[LogPartition]) -> None:
        """Keep what these folds know, once all that it follows from is committed."""
        if due and self._committed([]):
            self._publisher.snapshots(due, self._logs)

    def _committed(self, offsets: list[Offset]) -> bool:
        """Commit and wait for the answer; False: it is to come, or it is no."""
        try:
            self._publisher.commit_now(offsets)
        except KafkaFailure as failure:
            self._waits(failure)
            return False
        return True

    def _answered(self) -> None:
        """See how the commits before went."""
        try:
            stuck = self._publisher.answered()
        except KafkaFailure as failure:
            self._waits(failure)
            return
        if stuck:
            raise Stopped("the Kafka client does not answer a commit; start the worker again")
        if not self._delivery.busy:
            self._back_off = BACK_OFF

    def _waits(self, failure: KafkaFailure) -> None:
        """Go on without a commit, where the next one can do its work."""
        if failure.kind not in {"retriable", "lost"} or self._settings.delivery != "at_least_once":
            raise failure
        self._tell("the commit waits", failure.text)

    def _last_checkpoint(self) -> None:
        logs.event("stopping")
        self._stop = True
        self._patience.stop_by = min(self._patience.stop_by, time.monotonic() + STOP_WITHIN)
        reach("before_last_commit")
        try:
            self._committed([])  # what is under way
            self._publisher.publish(self._inputs.values(), self._logs.values())
            if not self._committed([]):
                logs.event("stopping without a last commit", logging.WARNING)
                return
            self._snapshots(list(self._logs.values()))
            self._status = 0
            reach("after_last_commit")
        except KafkaFailure as failure:
            logs.event("stopping without a last commit", logging.WARNING, cause=failure.text)

    # --- partitions come and go -----------------------------------------------------------------

    def _assigned(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Called inside ``consume``: hold them until the loop has found out where to begin."""
        reach("on_assigned")
        self._meters.rebalances += 1
        self._reader.pause(partitions)
        self._arrivals.expect(partitions)
        return {}

    def _settle_arrivals(self) -> None:
        if self._arrivals.waiting():
            reach("before_restore")
        for arrived in self._arrivals.settle():
            if isinstance(arrived, LogPartition):
                self._logs[arrived.partition] = arrived
            else:
                self._inputs[arrived.topic, arrived.partition] = arrived
            reach("after_restore")

    def _revoked(self, partitions: list[Partition]) -> None:
        """Publish and commit what these have, then let them go."""
        if self._leaving:  # all that can be published and committed has been
            self._lost(partitions)
            return
        inputs = [self._inputs[p] for p in partitions if p in self._inputs]
        folded = [log for log in self._logs.values() if self._place(log) in partitions]
        try:
            reach("on_revoked")
            self._publisher.publish(inputs, folded)
            self._snapshots(folded)
            reach("after_revoked")
        except KafkaFailure as failure:
            self._delivery.recover(failure)
            logs.event("partitions left without a commit", logging.WARNING, cause=failure.text)
        self._lost(partitions)

    def _lost(self, partitions: list[Partition]) -> None:
        """Forget them: whoever has them now goes on from the last commit."""
        reach("on_lost")
        self._arrivals.forget(partitions)
        for place in partitions:
            self._inputs.pop(place, None)
        for log in [log for log in self._logs.values() if self._place(log) in partitions]:
            del self._logs[log.partition]
        if partitions:
            logs.event("partitions left", partitions=_names(partitions))

    def _place(self, log: LogPartition) -> Partition:
        return self._settings.profiles_topic, log.partition

    # --- silence, alignment, trouble ------------------------------------------------------------

    def _look_for_silence(self, now: float) -> None:
        """Decide durably which partitions are idle, then act on it."""
        asked = [place for place, part in self._inputs.items() if part.needs_end(now)]
        try:
            ends = self._admin.offsets(dict.fromkeys(asked, "latest")) if asked else {}
        except KafkaFailure as failure:
            self._no_end_known(failure)
            return
        for place, part in self._inputs.items():
            if place in ends:
                part.reached(self._reader.position(*place) or 0)
            decision = part.look(now, ends.get(place))
            if decision is not None:
                self._decided(part, decision)

    def _look_for_transactions(self, now: float) -> None:
        try:
            self._blocked.look(self._inputs, now)
        except KafkaFailure as failure:
            self._no_end_known(failure)

    def _no_end_known(self, failure: KafkaFailure) -> None:
        if failure.kind != "retriable":
            raise failure
        self._tell("nobody says where partitions end", failure.text)

    def _decided(self, part: InputPartition, decision: IdleDecision) -> bool:
        """Commit an idle decision and act on it; False: the commit waits, it is proposed again."""
        self._checkpoint()  # the commit must not cover what is not published yet
        place = part.topic, part.partition
        reach("before_idle_decision")
        if not self._committed([(*place, *part.commit_with(decision))]):
            return False
        if self._inputs.get(place) is not part:  # it left while the answer was waited for
            return False
        reach("after_idle_decision")
        part.act(decision)
        return True

    def _align(self) -> None:
        """Pause what is read far ahead of the slowest partition of its topic."""
        slowest: dict[str, int] = {}
        for part in self._inputs.values():
            if (border := part.behind()) is not None:
                slowest[part.topic] = min(border, slowest.get(part.topic, border))
        for log in self._logs.values():
            for topic, border in log.slowest().items():
                slowest[topic] = min(border, slowest.get(topic, border))
        ahead = {p for p, part in self._inputs.items() if part.ahead_of(slowest.get(p[0]))}
        paused = {p for p, part in self._inputs.items() if part.paused}
        if ahead != paused:
            self._reader.pause(ahead - paused)
            self._reader.resume(paused - ahead)
            for place, part in self._inputs.items():
                part.paused = place in ahead

    def _troubled(self, error: PartitionError) -> None:
        place = error.topic, error.partition
        if error.code in {"_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"}:
            if place in self._inputs or error.partition in self._logs:
                # The log was cut below the position: begin again from the commit, which says so.
                self._restart([place])
            return
        if error.code in UNREADABLE and (part := self._inputs.get(place)) is not None:
            self._pass_by(part, error.text)
            return
        unknown = error.code.startswith("UNKNOWN_TOPIC")
        if unknown and error.topic in self._admin.topics():
            self._tell("not every broker knows the topic yet", error.text)
            return
        if error.kind in {"denied", "refused", "fatal"} or unknown:
            what = f"topic {error.topic}" if error.topic else f"group {self._settings.group}"
            raise Stopped(_because(what, error.code, error.text))
        self._tell("reading is in trouble", error.text)

    def _pass_by(self, part: InputPartition, cause: str) -> None:
        """A batch that cannot be read must not stop its partition for ever."""
        place = part.topic, part.partition
        self._tell("records cannot be read", cause)
        lost = self._unreadable.at(place, max(part.position, self._reader.position(*place) or 0))
        if lost is not None:
            part.pass_by(lost)
            self._reader.seek(*place, lost.stop)

    def _recover(self, failure: KafkaFailure) -> None:
        """After an unclear outcome, everything goes on from the last commit."""
        if failure.kind in {"denied", "refused"}:
            raise Stopped(_because("Kafka", failure.code, failure.text))
        self._meters.restarts += 1
        logs.event("starting again from the last commit", logging.WARNING, cause=failure.text)
        self._delivery.recover(failure)
        self._restart([*self._inputs, *((self._settings.profiles_topic, p) for p in self._logs)])
        again = time.monotonic() + self._back_off
        self._back_off = min(2 * self._back_off, LONGEST_BACK_OFF)
        while not self._stop and time.monotonic() < again:
            time.sleep(TURN)

    def _restart(self, partitions: list[Partition]) -> None:
        for place in partitions:
            self._inputs.pop(place, None)
            if place[0] == self._settings.profiles_topic:
                self._logs.pop(place[1], None)
        with suppress(KafkaFailure):
            self._reader.pause(partitions)
        self._arrivals.expect(partitions)

    # --- the rest -------------------------------------------------------------------------------

    def _announce_settings(self) -> None:
        """The detection settings of this process, at one place in every partition of the log."""
        settings = self._settings.detection()
        digest = settings_digest(settings)
        self._delivery.begin()
        record = encode(SettingsRecord(FORMAT_VERSION, self._name, digest, settings))
        for number in range(self._log_partitions()):
            self._delivery.produce(self._settings.profiles_topic, number, b"settings", record)
        self._delivery.flush()
        self._delivery.commit_now([])

    def _log_partitions(self) -> int:
        return self._arrivals.log_partitions()

    def _drained(self) -> bool:
        """Close all windows the idle way once everything is read; True when all of it is folded."""
        if self._arrivals.waiting() or not (self._inputs or self._logs):
            return False
        places = [*self._inputs, *((self._settings.profiles_topic, p) for p in self._logs)]
        ends = self._admin.offsets(dict.fromkeys(places, "latest"))
        for place, part in self._inputs.items():
            part.reached(self._reader.position(*place) or 0)
        unread = [part for p, part in self._inputs.items() if part.position < ends[p]]
        if not all(part.paused for part in unread):
            return False
        # Those that are paused wait for the others, which have nothing more to say.
        for part in self._inputs.values():
            if not part.drained and part not in unread:
                decision = part.drain()
                if decision is not None and not self._decided(part, decision):
                    part.drained = False
                    return False
        if unread:
            return False
        self._checkpoint()
        # Only now: members that drain together would wait for each other's open windows for ever.
        if not self._others_drained():
            return False
        ends = self._admin.offsets(dict.fromkeys(places, "latest"))
        return all(
            log.position >= ends[self._settings.profiles_topic, p] for p, log in self._logs.items()
        )

    def _others_drained(self) -> bool:
        """Whether nothing is left to do in the partitions that other members of the group have.

        A member that died keeps its partitions until its session expires. A committed offset at the
        end says that no window is open.
        """
        others = self._arrivals.all_partitions() - self._inputs.keys()
        others -= {self._place(log) for log in self._logs.values()}
        if not others:
            return True
        ends = self._admin.offsets(dict.fromkeys(others, "latest"))
        commits = self._reader.committed(sorted(others))
        left = [p for p, commit in commits.items() if (commit[0] if commit else 0) < ends[p]]
        if left:
            self._tell("other members of the group still have unread records", _names(left))
        return not left

    def _heard(self, code: str, text: str) -> None:
        self._meters.errors[code] += 1
        self._tell("the Kafka client reports", text, code)

    def _tell(self, message: str, cause: str, code: str | None = None) -> None:
        """Warn of something that lasts: not again and again."""
        now = time.monotonic()
        name = f"{message} {code}"
        if now - self._told.get(name, float("-inf")) < SAME_AGAIN:
            return
        self._told[name] = now
        more = {} if code is None else {"code": code}
        logs.event(message, logging.WARNING, **more, cause=cause)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._stop:
            os._exit(128 + number)
        self._stop = True
        self._patience.stop_by = time.monotonic() + STOP_WITHIN


def _names(partitions: list[Partition]) -> str:
    return ", ".join(f"{topic}[{number}]" for topic, number in sorted(partitions))


def _because(what: str, code: str, text: str) -> str:
    return f"{what}: {explain(code, text)}\nlook at the whole with: streamgauge check"
