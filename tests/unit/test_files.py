"""Files, read and written."""

import pandas as pd
import pytest

from mnist_mlp import files

NAMES = ["null", "nan", "NA", "None", "true", "007", "1e5", "inf", "n-a", "-", "model1"]


@pytest.mark.parametrize("column", files.TEXTS)
def test_a_tables_texts_come_back_as_they_were_written(column, tmp_path):
    written = pd.DataFrame({column: [*NAMES, None], "number": [0.5, None, *range(10)]})
    files.write(tmp_path / "table.csv", written)
    read = files.read_table(tmp_path / "table.csv", [column, "number"])
    assert read[column].tolist()[:-1] == NAMES
    assert pd.isna(read[column].iloc[-1])
    assert read["number"].tolist()[0] == 0.5
    assert read["number"].isna().tolist() == [False, True, *[False] * 10]
