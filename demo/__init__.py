"""The demonstration: a year of flights, a small model, its log, and the worker beside it."""
