"""The champion as MLflow serves it: copied into the registered model, which so needs nothing of this project."""

import os

import mlflow
import numpy as np
import pandas as pd


class Champion(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        import keras

        self.model = keras.saving.load_model(context.artifacts["model"])

    def predict(self, context, model_input: np.ndarray, params=None):
        """Raw grey images, uint8 [n, 28, 28] -> a row an image: class, and the ten classes' probabilities."""
        probabilities = self.model.predict(model_input, batch_size=1000, verbose=0)
        return pd.DataFrame({"class": probabilities.argmax(axis=1), "probabilities": list(probabilities)})


mlflow.models.set_model(Champion())
