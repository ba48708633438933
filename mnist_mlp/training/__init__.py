"""A variant's training: all the code that its bytes follow from, and so one dependency of its stage.

    backend     TensorFlow and Keras, with the settings that they read when they are imported
    networks    a variant's layers -> a Keras model; layers: those made for speed; batches: what the first ones take
    pixels      which pixels the first product may leave out, and which few images light
    compiling   what XLA compiles gives the same bytes on any number of cores
    program     the compiled epoch
    trainer     a variant's replicates, side by side, from their data to their results
    metrics     predictions -> loss and accuracy
    saving      the files written

pixels, metrics, saving and data don't import TensorFlow, which takes seconds; the others do.
"""
