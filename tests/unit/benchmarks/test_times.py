"""The benchmark of what people type: its table, and that README.md has it."""

from benchmarks import times


def test_the_table_has_medians_as_a_person_would_say_them():
    assert times.table({times.NOTHING: [754.0], times.TRIED: [9.4, 8.2, 30.0]}).splitlines() == [
        "| `make repro`, from nothing | again, from the cache |",
        "| --- | --- |",
        "| 13 min | 9 s |",
    ]


def test_the_readme_has_what_is_measured():
    block = times.README.read_text().partition("<!-- times -->")[2].partition("<!-- /times -->")[0]
    titles = " | ".join((times.NOTHING, times.NOTHING_TO_DO, times.LONG, times.SHORT, times.TRIED))
    assert f"\n| {titles} |\n" in block
