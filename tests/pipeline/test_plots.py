"""`dvc plots`, as people type it."""

import json
import re
import shutil

import pytest
import vl_convert

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shell")]
SPECIFICATION = re.compile(r"var spec = (\{.*?\});\s*vegaEmbed", re.DOTALL)


def test_plots_are_drawn_without_dvcs_temporary_folder(project):
    shutil.rmtree(project.folder / ".dvc/tmp")
    assert "dvc_plots/index.html" in project.run("dvc", "plots", "show")


def test_the_legend_of_a_comparison_tells_the_revisions_apart(project):
    curves = project.folder / "reports/curves.csv"
    curves.write_text(curves.read_text().replace(",0.", ",0.1"))
    project.run("dvc", "plots", "diff", "HEAD", "workspace")
    page = (project.folder / "dvc_plots/index.html").read_text()
    specification = json.loads(SPECIFICATION.search(page)[1])
    drawn = vl_convert.vegalite_to_svg(specification, vl_version="5.20")
    symbols = re.findall(r"role-legend-symbol[^>]*><path ([^>]*)/>", drawn.partition("titled 'rev'")[2])
    assert len(symbols) == 2
    assert symbols[0] != symbols[1]
