"""The champion as MLflow serves it: what it takes."""

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from mnist_mlp.tracking.served_model import Champion


class Ones:
    """A model that is sure of the first class."""

    def predict(self, images: np.ndarray, **_: object) -> np.ndarray:
        return np.eye(10, dtype=np.float32)[[0] * len(images)]


@pytest.fixture
def champion() -> Champion:
    champion = Champion()
    champion.model = Ones()
    return champion


def test_raw_images_are_classified(champion):
    images = np.full((2, 28, 28), 255, np.uint8)
    assert champion.predict(None, images)["class"].tolist() == [0, 0]
    assert champion.predict(None, images[:0]).empty


def test_images_divided_by_255_are_refused_in_a_line(champion):
    """MLflow makes them whole numbers before the model sees them: few ones, or none."""
    with pytest.raises(MlflowException, match=r"^found images of at most 1; allowed: raw grey levels") as caught:
        champion.predict(None, np.eye(28, dtype=np.uint8)[None])
    assert caught.value.get_http_status_code() == 400
