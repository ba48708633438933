"""Models of variants that are no more, beside a real cache of DVC's."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from mnist_mlp import config, paths
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import leftovers

OLD = paths.MODELS / "techniques" / "old"


@pytest.fixture
def cached(checkout) -> Path:
    """Return the folder of a variant that params.yaml doesn't have; DVC's cache holds it."""
    write(OLD / "metrics.json", "{}")
    write(OLD / "deep" / "seed-0.keras", "a model")
    repo = Repo.init(no_scm=True)
    repo.add(str(OLD))
    repo.close()
    for path in (OLD.with_suffix(".dvc"), OLD.parent / ".gitignore"):
        path.unlink(missing_ok=True)
    return OLD


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_the_cache_keeps_is_removed_and_all_else_stays(cached, capsys):
    kept = [
        paths.MODELS / "techniques/none-relu/metrics.json",
        paths.MODELS / "techniques/.none-relu-x1/new/metrics.json",
        paths.MODELS / "techniques/.hidden",
        paths.MODELS / "techniques/Thumbs.db",
        paths.MODELS / "notes.txt~",
        paths.MODELS / "candidate/candidate/metrics.json",
        paths.MODELS / ".checkpoints/techniques-old/x",
    ]
    for path in kept:
        write(path, "kept")
    leftovers.remove(config.load())
    assert sorted(path for path in paths.MODELS.rglob("*") if path.is_file()) == sorted(kept)
    line = "models/techniques/old: no variant of params.yaml, so it is removed; DVC's cache keeps it\n"
    assert capsys.readouterr().out == line
    leftovers.remove(config.load())
    assert capsys.readouterr().out == ""


def test_a_removed_studys_folder_goes_with_its_models(cached):
    moved = paths.MODELS / "gone"
    cached.parent.rename(moved)
    leftovers.remove(config.load())
    assert not moved.exists()


@pytest.mark.parametrize(
    ("name", "printed", "typed"),
    [
        ("old data", "models/techniques/old data", "'models/techniques/old data'"),
        ("x; echo y", "models/techniques/x; echo y", "'models/techniques/x; echo y'"),
        (os.fsdecode(b"a\n'\xe9"), r"models/techniques/a\n'\udce9", r"$'models/techniques/a\x0a\x27\xe9'"),
    ],
)
def test_the_command_that_removes_a_folder_removes_no_other_one(cached, name, printed, typed):
    write(OLD.with_name(name) / "notes.txt", "mine")
    write(paths.RAW / "images", "more")
    with pytest.raises(UserError, match="no variant of ") as caught:
        leftovers.remove(config.load())
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{printed}: ")
    assert line.endswith(f"or remove it: rm -r {typed}")
    subprocess.run(["bash", "-c", line.partition("remove it: ")[2]], check=True)
    assert not OLD.with_name(name).exists()
    assert (paths.RAW / "images").exists()


@pytest.mark.parametrize("change", ["a file more", "a file changed", "no cache", "a cached file cut short", "moved"])
def test_what_the_cache_does_not_keep_is_refused_and_stays(cached, change):
    if change == "a file more":
        write(cached / "notes.txt", "mine")
    elif change == "a file changed":
        write(cached / "metrics.json", '{"mine": 1}')
    elif change == "no cache":
        shutil.rmtree(".dvc/cache")
    elif change == "a cached file cut short":
        (model,) = [path for path in Path(".dvc/cache").rglob("*") if path.is_file() and path.read_text() == "a model"]
        model.chmod(0o644)
        model.write_text("a mo")
        model.chmod(0o444)  # DVC takes a file of this mode as whole
    else:
        cached.rename(cached.with_name("notes"))
        write(cached.with_name("notes") / "text", "mine")
        cached = cached.with_name("notes")
    with pytest.raises(UserError, match=f"^{cached}: no variant of params.yaml, and not in DVC's cache; ") as caught:
        leftovers.remove(config.load())
    assert str(caught.value).endswith(f"or remove it: rm -r {cached}")
    assert cached.exists()
