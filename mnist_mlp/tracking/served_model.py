"""The champion as MLflow serves it: copied into the registered model, which so needs nothing of this project."""

import os
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext


class Champion(PythonModel):
    """The exported model."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model."""
        os.environ |= {
            "KERAS_BACKEND": "tensorflow",
            "KERAS_HOME": os.devnull,  # no folder: the user's keras.json plays no part
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        import keras

        self.model = keras.saving.load_model(context.artifacts["model"])

    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return one row per raw grey image, uint8 [n, height, width]: class, and the probabilities of all.

        Raises MlflowException, which a server answers as status 400, if the images are scaled already."""
        if model_input.size and model_input.max() <= 1:
            found = f"found images of at most {model_input.max()}"
            raise MlflowException(
                f"{found}; allowed: raw grey levels, 0 to 255, not divided by 255", INVALID_PARAMETER_VALUE
            )
        probabilities = self.model.predict(model_input, batch_size=1000, verbose=0)
        return pd.DataFrame({"class": probabilities.argmax(axis=1), "probabilities": list(probabilities)})


set_model(Champion())
