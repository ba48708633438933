"""The command line of `mnist-mlp`: one subcommand per module, imported when it is called."""

import argparse
import importlib
import sys

from mnist_mlp.pipeline import environment
from mnist_mlp.pipeline.stage import Parser, errors_as_lines

COMMANDS = {
    "ui": "compare the runs in MLflow's UI (Ctrl-C ends it)",
    "track": "make the MLflow store agree with the outputs that are here",
    "verify": "run stages again in a scratch copy and compare every byte",
    "cluster": "run the pipeline on several cores or machines, by Dask",
    "repair": "mend what a killed DVC left torn",
    "dataset": "make a data set of your own images",
    "readme": "put the results of reports/ into README.md and docs/",
}


def main() -> None:
    """Run the subcommand that the command line names. Exits with status 1 after one line per error."""
    environment.settle()
    listed = "\n".join(f"  {name:<8}  {text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog="mnist-mlp", description="Commands around the pipeline; the stages themselves run by `dvc repro`.",
        epilog=f"commands:\n{listed}\n\n`mnist-mlp COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    name = parser.parse_args(sys.argv[1:2]).command
    with errors_as_lines():
        module = importlib.import_module(f"mnist_mlp.commands.{name}")
    own = Parser(f"mnist-mlp {name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    if hasattr(module, "add_arguments"):
        module.add_arguments(own)
    arguments = own.parse_args(sys.argv[2:])
    with errors_as_lines():
        module.main(**vars(arguments))
