"""``submeter demo``: nothing in, a live agent on the simulated node out."""

import argparse
import tempfile

from submeter.cli._options import add_common, examples, settings
from submeter.config import Override

HELP = "try submeter without a GPU: the agent on a simulated node"


def configure(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "--listen", "--scenario")
    examples(parser, "submeter demo", "submeter demo --scenario mine.toml")


def run(arguments: argparse.Namespace) -> int:
    from submeter.cli.run import start_logging
    from submeter.runtime.service import serve

    with tempfile.TemporaryDirectory(prefix="submeter-demo-") as directory:
        config = settings(
            arguments,
            before=(
                Override("backend", "mock", "submeter demo"),
                Override("mock.scenario", "tour", "submeter demo"),
                Override("state_dir", directory, "submeter demo"),
            ),
        )
        start_logging()
        return serve(config)
