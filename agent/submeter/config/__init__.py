"""Configuration: a TOML file, the environment and the command line in, one frozen `Config` out.

Precedence: ``--set key=value`` > environment ``SUBMETER_<SECTION>__<KEY>`` > file > defaults.
A new key is one field in `submeter.config.schema`; parsing, messages and documentation follow.
"""

from submeter.config.effective import backend_options, load
from submeter.config.kinds import Address
from submeter.config.layers import Override, parse_override
from submeter.config.schema import Config, Origin

__all__ = [
    "Address",
    "Config",
    "Origin",
    "Override",
    "backend_options",
    "load",
    "parse_override",
]
