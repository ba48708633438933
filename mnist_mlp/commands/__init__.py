"""`mnist-mlp`: the commands that are no stages. cli.py names them; each has a file with its `main`."""
