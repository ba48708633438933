"""A variant's training: all the code that its bytes follow from, and so one dependency of its stage.

    environment   the variables that TensorFlow and Keras read when they are imported; backend: the two, imported
    networks      a variant's layers -> a Keras model
    splits        the images that a variant trains on and is measured by
    trainer       a variant's replicates, side by side; replicates: one of them, from its seed to its results
    engine        what the trainer asks of whatever runs the epochs: the seam
    compiled      the engine in use, made for speed: one XLA program per epoch
    metrics       predictions -> loss and accuracy
    outputs       the files that a training leaves, written and read; checkpoints: those on the way
    cache         finished replicates, for whichever variant needs the same

environment, splits, metrics, outputs and checkpoints don't import TensorFlow, which takes seconds; the others do.
"""
