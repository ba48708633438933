"""The engine in use: one XLA program per epoch. All of training that is made for speed is here.

epoch       the compiled epoch, and a replicate's state
networks    a variant's layers for it; layers: those made for it; batches: what the first of them take
pixels      which pixels the first product may leave out, and which few images light
penalties   the penalties on the input, without a training
optimizer   Keras's optimizers with pure updates
compiling   what XLA compiles gives the same bytes on any number of cores
"""

from mnist_mlp.training.compiled.epoch import CompiledEngine

__all__ = ["CompiledEngine"]
