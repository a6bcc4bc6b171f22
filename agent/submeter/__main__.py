"""``python -m submeter`` is the command ``submeter``."""

import sys

from submeter.cli import main

sys.exit(main())
