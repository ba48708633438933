"""The images, before any training.

fetch      files from a folder or a web server
idx        MNIST's file format
datasets   the data set that params.yaml names: fetched, checked; the sample
conversion PNGs and NPZ -> a data set
scaling    grey levels -> what networks take
"""
