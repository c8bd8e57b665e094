"""Reads and writes Kafka: decoding, windows, the order of effects, the command line."""
