"""What is known about a stream: profiles, baselines, signals, detectors. No I/O, no clock."""
