"""The floor: what anyone would write to read a topic, consume and ``orjson.loads``."""

from __future__ import annotations

import argparse

import orjson
from confluent_kafka import Consumer, TopicPartition

from consumer import kafka_defaults as defaults


def main() -> None:
    """Read every partition of a topic to its present end and parse each record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--batch", type=int, default=defaults.BATCH)
    options = parser.parse_args()
    settings = {
        **defaults.COMMON,
        **defaults.READ,
        **defaults.READ_ALWAYS,
        "bootstrap.servers": options.bootstrap,
        "group.id": "floor",
    }
    consumer = Consumer(settings)
    partitions = consumer.list_topics(options.topic).topics[options.topic].partitions
    consumer.assign([TopicPartition(options.topic, number, 0) for number in partitions])
    seen = 0
    while seen < options.records:
        for message in consumer.consume(options.batch, 0.1):
            if message.error() is None:
                orjson.loads(message.value() or b"")
                seen += 1
    consumer.close()


if __name__ == "__main__":
    main()
