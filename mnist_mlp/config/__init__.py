"""params.yaml as checked, frozen models. Nothing else reads params.yaml for the library.

    params     the whole file: load() and Params
    studies    a study's protocol and variants; Variant, one stage's worth of training
    layers     the kinds of layers
    choices    the names that are allowed: of Keras, of files, of data sets
    messages   a fault as one line

Every value that bytes follow from stands in params.yaml: no model here has a default for one.
"""

from mnist_mlp.config.params import DataFile, DataSource, Params, load
from mnist_mlp.config.studies import Network, Protocol, Study, Variant

__all__ = ["DataFile", "DataSource", "Network", "Params", "Protocol", "Study", "Variant", "load"]
