"""``python -m submeter_exporters FILE``: puts the options of every exporter into its documentation.

The table after each heading "## `name`" of the file is replaced.
"""

import re
import sys
from pathlib import Path

from submeter.exporting import available, options_markdown, options_of

_file = Path(sys.argv[1])
_text = _file.read_text()
for _name in available():
    if options_of(_name):
        _table = re.compile(rf"(\n## `{_name}`\n(?:(?!\n## ).)*?\n)(?:\|[^\n]*\n)+", re.DOTALL)
        _found = _table.search(_text)
        if _found is None:
            sys.exit(f"{_file} has no section `{_name}` with a table")
        _text = _text[: _found.end(1)] + options_markdown(_name) + _text[_found.end() :]
_file.write_text(_text)
