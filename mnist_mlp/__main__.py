"""`python -m mnist_mlp`: as the installed command `mnist-mlp`, with the library of the current folder."""

from mnist_mlp.commands.cli import main

if __name__ == "__main__":
    main()
