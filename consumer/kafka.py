"""The Kafka client as the rest of the code sees it."""

from __future__ import annotations

from consumer.kafka_admin import Admin, embedded_broker
from consumer.kafka_client import Client, Moment, Offset, Partition
from consumer.kafka_reader import Reader, Scan
from consumer.kafka_transactions import Transactions
from consumer.kafka_writer import Writer

__all__ = [
    "Admin",
    "Client",
    "Moment",
    "Offset",
    "Partition",
    "Reader",
    "Scan",
    "Transactions",
    "Writer",
    "embedded_broker",
]
