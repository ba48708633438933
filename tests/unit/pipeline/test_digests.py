"""Digests as DVC writes them."""

from pathlib import Path

from mnist_mlp.pipeline.digests import md5


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def test_a_folder_has_the_digest_that_dvc_gives_it(tmp_path):
    write(tmp_path, **{"b.txt": "one\n", "y/a.txt": "two\n", "é.txt": "é\n"})
    assert md5(tmp_path) == "8df02df500db29f161e6f539da9486f9.dir"  # by `dvc add`, 3.67.1


def test_a_file_has_its_md5(tmp_path):
    write(tmp_path, **{"b.txt": "one\n"})
    assert md5(tmp_path / "b.txt") == "5bbf5a52328e7439ae6e719dfe712200"  # by md5sum


def test_a_missing_path_has_no_digest(tmp_path):
    assert md5(tmp_path / "missing") is None


def test_a_digest_leaves_out_what_dvcignore_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, **{"code/a.py": "1\n", ".dvcignore": "__pycache__/\n"})
    before = md5(Path("code"))
    write(tmp_path, **{"code/__pycache__/a.pyc": "2"})
    assert md5(Path("code")) == before
    write(tmp_path, **{"code/b.py": "2"})
    assert md5(Path("code")) != before
