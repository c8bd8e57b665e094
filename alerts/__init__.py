"""What people and services are told: events, their schema, the life of an incident, texts."""
