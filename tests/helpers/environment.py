"""Environment variables of the processes that tests start."""

# A process with this setting compiles all that it trains, instead of taking what an earlier process compiled.
COMPILING = {"TF_XLA_FLAGS": ""}
