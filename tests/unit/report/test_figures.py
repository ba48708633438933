"""Figures: what they hold, the same bytes each time, nothing of pyplot's or a user's settings."""

import threading

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image

from mnist_mlp.report import figures
from mnist_mlp.report.markdown import FIGURES
from tests.helpers.made_outputs import run_python


def history(epochs: int = 5, seeds: tuple[int, ...] = (3, 1)) -> pd.DataFrame:
    lines = [(seed, epoch, 1 / epoch, 0.9, 2 / epoch, 0.8) for seed in seeds for epoch in range(1, epochs + 1)]
    return pd.DataFrame(lines, columns=["seed", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"])


def test_learning_curves_hold_each_replicate_and_their_mean():
    made = history()
    made.loc[made["seed"] == 1, "val_accuracy"] = 0.9
    axes = figures.learning_curves(made, "accuracy", "a title").axes[0]
    thick = {line.get_label(): line.get_ydata() for line in axes.lines if line.get_linewidth() == 2}
    assert set(thick) == {"train, mean of 2 seeds", "validation, mean of 2 seeds"}
    assert np.allclose(thick["validation, mean of 2 seeds"], 85)
    assert sum(line.get_linewidth() == 0.7 and len(line.get_xdata()) == 5 for line in axes.lines) == 4
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("a title", "epoch", "accuracy (%)")


def test_drawing_from_threads_gives_the_same_bytes_and_changes_no_setting(tmp_path):
    before = dict(matplotlib.rcParams)

    def draw(i: int) -> None:
        figures.save(figures.learning_curves(history(), "loss", "title"), tmp_path / f"{i}.png")

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(tmp_path / f"{i}.png").read_bytes() for i in range(6)}) == 1
    assert len(list(tmp_path.iterdir())) == 6
    assert dict(matplotlib.rcParams) == before


def test_a_single_epoch_a_useless_candidate_and_a_missing_cell_are_drawn(tmp_path):
    replicates = pd.DataFrame(
        [("architectures", "a", 0, 0.98), ("techniques", "b", 0, 1.0), ("candidate", "candidate", 0, 0.1)],
        columns=["study", "variant", "seed", "test_accuracy"],
    )
    columns = ["level", "reference", "within", "difference", "family_low", "family_high"]
    effects = pd.DataFrame(
        [("x", "none", "a", 0.1, np.nan, np.nan), ("x", "none", "b", 0.0, -0.1, 0.1)], columns=columns
    )
    grid = pd.DataFrame([[0.9, np.nan]], index=pd.Index(["none"], name="x"), columns=pd.Index(["a", "b"], name="y"))
    for name, figure in {
        "curves": figures.learning_curves(history(1, (0,)), "loss", "one point"),
        "accuracies": figures.accuracies(replicates, replicates.assign(low=np.nan, high=1.0), None, "title"),
        "costs": figures.costs(replicates.assign(parameters=10.0, work=20.0), "title"),
        "interaction": figures.interaction(effects, "y", "title"),
        "map": figures.heat_map(grid, "title"),
    }.items():
        figures.save(figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_map_of_next_to_no_differences_does_not_shout():
    """Three hundredths of a point are a fiftieth of the colours."""
    grid = pd.DataFrame([[0.9700, 0.9703]], index=pd.Index(["none"], name="x"), columns=pd.Index(["a", "b"], name="y"))
    picture = figures.heat_map(grid, "title").axes[0].images[0]
    shades = picture.norm(100 * grid.to_numpy()).ravel()
    assert abs(shades[1] - shades[0]) < 0.02


def test_what_a_variant_gets_wrong_is_drawn_with_no_error_and_with_some():
    images, names = np.zeros((7, 8, 6)), [str(i) for i in range(7)]
    for confusion in (np.eye(3), np.array([[0.9, 0.1, 0], [0, 1, 0], [0.0004, 0, 0.9996]])):
        matrix, gallery = figures.errors(confusion, images, names, "a title").axes
        written = [text.get_text() for text in matrix.texts]
        assert written == (["100.0"] * 3 if confusion[0, 0] == 1 else ["90.0", "10.0", "100.0", "100.0"])
        assert [text.get_text() for text in gallery.texts] == names


def test_the_reports_figures_have_content_and_the_width_for_a_readme(root):
    for name in [*FIGURES, figures.map_name("techniques"), figures.map_name("penalties"),
                 figures.interaction_name("techniques")]:  # fmt: skip
        with Image.open(root / "reports/figures" / name) as picture:
            assert picture.format == "PNG"
            assert 1300 <= picture.width <= 1400
            assert np.unique(np.asarray(picture.convert("L"))).size > 20


def test_matplotlib_is_imported_only_to_draw(tmp_path):
    code = "import sys; import mnist_mlp.report.figures, mnist_mlp.report.html; print('matplotlib' in sys.modules)"
    done = run_python(tmp_path, "-c", code)
    assert (done.stdout, done.stderr) == ("False\n", "")
