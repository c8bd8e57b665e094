"""``make chaos``: faults on real Kafka, and a proof after each run that nothing is lost."""
