"""Measurements: cost beside the floor, crash runs, profiles of the code under load."""
