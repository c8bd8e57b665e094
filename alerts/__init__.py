"""What people and services are told: events, their schema, the life of an incident, texts.

``alerts.read(messages)`` is for services: the incidents that the messages of the topic tell of.
"""

from alerts.read import Incident, read

__all__ = ["Incident", "read"]
