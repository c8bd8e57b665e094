"""``python -m consumer`` is the command ``streamgauge``."""

from consumer.cli import main

main()
