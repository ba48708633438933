"""The benchmark of the whole job: its names, medians and tables."""

import pytest

from benchmarks import job
from benchmarks.phases import Moment


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        ("stages:\n  train-techniques:\n", "train-techniques@none-relu"),
        ("stages:\n  train-technique:\n", "train-technique@none-relu"),
    ],
)
def test_a_stage_has_the_name_that_the_checkouts_pipeline_gives_it(pipeline, expected):
    assert job.stage_in(pipeline, "train-techniques@none-relu") == expected


def test_the_timeline_of_median_length_is_shown():
    timelines = [[Moment("", "DVC")] * length for length in (5, 1, 3)]
    assert len(job.middle(timelines)) == 3


def test_against_table_has_medians_and_ratios_and_leaves_blank_what_was_not_measured():
    this, plain, front = columns = [("this", job.REPRO), ("other", job.REPRO), ("other", job.FRONT)]
    found = {"a stage": {this: [6.0, 5.0, 9.0], plain: [12.0], front: [8.0]}, "the loop": {this: [5.0], plain: [4.0]}}
    assert job.against_table(found, columns).splitlines() == [
        "|  | this, s | other, `dvc repro`, s | this / other | other, `python -m stages.repro`, s | this / other |",
        "|---|---|---|---|---|---|",
        "| a stage | 6.0 | 12.0 | 0.50 | 8.0 | 0.75 |",
        "| the loop | 5.0 | 4.0 | 1.25 |  |  |",
    ]


def test_everything_is_compared_with_the_other_ones_last_way_alone():
    columns = [this, plain, front] = [("this", job.REPRO), ("other", job.REPRO), ("other", job.FRONT)]
    assert job.compared("train-techniques@none-relu", columns) == [this, plain, front]
    assert job.compared(job.LOOPING, columns) == [this, plain]
    assert job.compared(job.WHOLE, columns) == [this, front]
    assert job.compared(job.OWN, columns) == [this]


def test_a_section_written_again_takes_the_place_of_the_former_one(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "REPORT", tmp_path / "job.md")
    for title, found in (("By phase", "| 1 |"), ("Against", "| 2 |"), ("By phase", "| 3 |")):
        job.write(title, "about", found)
    text = "# Where the seconds go\n\n## By phase\n\nabout\n\n| 3 |\n\n## Against\n\nabout\n\n| 2 |\n"
    assert job.REPORT.read_text() == text
