"""Partitions that were assigned and wait, paused, until it is known where they begin."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime

from . import logs
from .batch import Decoder
from .commit_state import CommitState, kept
from .decoders import decoder_for
from .inputs import InputPartition
from .kafka import Admin, Partition, Reader
from .kafka_failures import KafkaFailure
from .last_word import heard_of, last_word
from .log_partitions import LogPartition
from .settings import Settings
from .stale_ends import StaleEnds
from .start import Start, set_by_hand, starting_point
from .state_topic import kept_values


class Arrivals:
    """Finds the commits, the log's ends and the snapshots of new partitions."""

    def __init__(self, settings: Settings, reader: Reader, admin: Admin) -> None:
        self._settings = settings
        self._reader = reader
        self._admin = admin
        self._expected: set[Partition] = set()
        self._waits = False
        self._log_count = 0  # not known yet
        self._new_topics: set[str] = set()  # the log says nothing of these
        self._stale = StaleEnds()
        self._decoders: dict[str, Decoder] = {}

    def expect(self, partitions: list[Partition]) -> None:
        """These will be settled in the next turn of the loop.

        A regular expression may match topics that are not for us; nothing is read from these.
        """
        mine = {topic: self._is_ours(topic) for topic, _ in partitions}
        self._expected.update(place for place in partitions if mine[place[0]])
        for topic in sorted(topic for topic, ours in mine.items() if not ours):
            logs.event("topic is left alone: no input of the configuration reads it", topic=topic)

    def _is_ours(self, topic: str) -> bool:
        settings = self._settings
        return topic == settings.profiles_topic or settings.input_for(topic) is not None

    def forget(self, partitions: list[Partition]) -> None:
        """These belong to someone else by now."""
        self._expected.difference_update(partitions)

    def waiting(self) -> bool:
        """Whether any partition has not begun."""
        return bool(self._expected)

    def log_partitions(self) -> int:
        """Number of partitions of the profiles log.

        Raises:
            KafkaFailure: It has changed, so models would go to other partitions than their state.
        """
        topic = self._settings.profiles_topic
        count = self.partitions(topic)
        self._log_count = self._log_count or count
        if count != self._log_count:
            why = (
                f"topic {topic} had {self._log_count} partitions and has {count} now: the number "
                "must not change, it says where each model's profiles are"
            )
            raise KafkaFailure("refused", "INVALID_PARTITIONS", why)
        return count

    def partitions(self, topic: str) -> int:
        """Number of partitions of an input topic.

        Raises:
            KafkaFailure: It does not exist any more.
        """
        count = self._reader.partition_counts().get(topic)
        if count is None:
            code = "UNKNOWN_TOPIC_OR_PART"
            raise KafkaFailure("refused", code, f"topic {topic} is gone")
        return count

    def all_partitions(self) -> set[Partition]:
        """Those of the log and of every input topic, whoever of the group reads them."""
        counts = self._reader.partition_counts()
        ours = [self._settings.profiles_topic, *self._settings.matching(counts)]
        return {(topic, number) for topic in ours for number in range(counts.get(topic, 0))}

    def settle(self) -> list[InputPartition | LogPartition]:
        """Begin what can begin; what cannot is tried again in the next turn."""
        if not self._expected:
            return []
        places = sorted(self._expected)
        try:
            self._count_anew(places)
            commits = self._reader.committed(places)
            lows = self._admin.offsets(dict.fromkeys(places, "earliest"))
            highs = self._admin.offsets(dict.fromkeys(places, "latest"))
            places = self._believed(places, commits, highs)
            if not places:
                return []
            begun = [self._begin(p, commits[p], lows[p], highs[p]) for p in places]
            for place, part in zip(places, begun, strict=True):
                self._reader.seek(*place, part.position)
            self._reader.commit(
                [
                    (*p, *i.to_commit())
                    for p, i in zip(places, begun, strict=True)
                    if isinstance(i, InputPartition) and i.fresh
                ]
            )
            self._reader.resume(places)
        except KafkaFailure as failure:
            if failure.kind in {"denied", "refused", "fatal"} and failure.code != "_STATE":
                raise
            if not self._waits:
                self._waits = True
                logs.event("partitions wait to begin", logging.WARNING, cause=failure.text)
            return []
        self._waits = False
        # Some may have gone, and others come, while the commit was waited for.
        kept = [one for p, one in zip(places, begun, strict=True) if p in self._expected]
        names = [f"{t}[{n}]" for t, n in places if (t, n) in self._expected]
        self._expected.difference_update(places)
        logs.event("partitions begin", partitions=", ".join(names))
        return kept

    def _believed(
        self,
        places: list[Partition],
        commits: Mapping[Partition, tuple[int, str] | None],
        highs: Mapping[Partition, int],
    ) -> list[Partition]:
        """Those of which a leader knows the end."""
        doubted = self._stale.doubted(commits, highs, time.monotonic())
        if doubted and not self._waits:
            self._waits = True
            names = ", ".join(f"{topic}[{number}]" for topic, number in sorted(doubted))
            cause = "the log ends before the committed offset: a new leader, or the topic is new"
            logs.event("partitions wait to begin", logging.WARNING, partitions=names, cause=cause)
        return [place for place in places if place not in doubted]

    def _count_anew(self, places: list[Partition]) -> None:
        """A partition that was added says how many there are by now."""
        counts = self._reader.partition_counts()
        if any(number >= counts.get(topic, 0) for topic, number in places):
            self._reader.partition_counts(max_age=0.0)

    def _begin(
        self, place: Partition, commit: tuple[int, str] | None, low: int, high: int
    ) -> InputPartition | LogPartition:
        topic, number = place
        if topic == self._settings.profiles_topic:
            kept = kept_values(self._settings, self._admin, number)
            committed = commit[0] if commit else None
            return LogPartition(self._settings, number, self.log_partitions(), kept, low, committed)
        state = None if commit is None else (commit[0], CommitState.from_metadata(commit[1]))
        start = None
        if state is None:
            start = None if self._known(topic) else self._by_the_log(place, low, high)
        elif state[1] is None:
            start = self._set_by_hand(place, state[0], low, high)
        start = start or starting_point(
            state,
            low,
            high,
            self._settings.start,
            self._known(topic),
            lambda when: self._at(place, when),
        )
        for lost in start.lost:
            logs.event(
                "records are gone unread",
                logging.ERROR,
                topic=topic,
                partition=number,
                start=lost.start,
                stop=lost.stop,
            )
        return InputPartition(self._settings, topic, number, start, self._decoder(topic))

    def _by_the_log(self, place: Partition, low: int, high: int) -> Start | None:
        """Where to go on if the group has no offsets but was here before; None: it was not.

        A group is deleted by hand, or by the broker once it was empty for a week. What has been
        judged stays so, and what came since is read, whatever ``start`` says of a new group.
        """
        one = self._settings.input_for(place[0])
        topic, partition = place
        if one is None or topic in self._new_topics:
            return None
        if not heard_of(self._settings, self._admin, topic):
            self._new_topics.add(topic)
            return None
        word = last_word(self._settings, self._admin, place, one.window + one.lateness)
        if word is None:
            return None
        logs.event(
            "the group's offset is gone: going on from the profiles log",
            logging.WARNING,
            topic=topic,
            partition=partition,
            offset=word.open_from,
            closed_at=word.closed_at,
        )
        borders = kept(self._settings.border_settings(one))
        return set_by_hand(word.open_from, low, high, word, borders)

    def _set_by_hand(self, place: Partition, offset: int, low: int, high: int) -> Start | None:
        """Where to go on from an offset that no worker committed; None: the log is new as well."""
        one = self._settings.input_for(place[0])
        if one is None:
            return None
        word = last_word(self._settings, self._admin, place, one.window + one.lateness)
        topic, partition = place
        logs.event(
            "the offset was set by hand",
            logging.WARNING,
            topic=topic,
            partition=partition,
            offset=offset,
            closed_at=None if word is None else word.closed_at,
        )
        if word is None:
            return None
        return set_by_hand(offset, low, high, word, kept(self._settings.border_settings(one)))

    def _decoder(self, topic: str) -> Decoder:
        """One for all partitions of a topic: what it has learned of the records serves them all."""
        if topic not in self._decoders:
            one = self._settings.input_for(topic)
            if one is None:
                raise ValueError(f"no input of the configuration reads {topic}")
            self._decoders[topic] = decoder_for(self._settings, one, topic)
        return self._decoders[topic]

    def _known(self, topic: str) -> bool:
        count = self._reader.partition_counts().get(topic, 0)
        commits = self._reader.committed([(topic, number) for number in range(count)])
        return any(commit is not None for commit in commits.values())

    def _at(self, place: Partition, when: datetime) -> int:
        return self._admin.offsets({place: int(when.timestamp() * 1_000_000)})[place]
