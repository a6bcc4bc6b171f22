"""Prints the table of metrics for ``docs/metrics.md``: ``python -m submeter.metrics``."""

import sys

from submeter.metrics import table_markdown

sys.stdout.write(table_markdown())
