"""The page that `dvc plots` fills, with its scripts inside.

`make setup` makes it: `python -m mnist_mlp.pipeline.plots_page`.

DVC's own page loads Vega from the network, and so stays blank without one. .dvc/config names this page instead; its
scripts come from the installed package vl-convert-python, so no copy of them is kept in the project.
"""

from mnist_mlp import paths

PAGE = paths.DVC_TMP.with_name("plots.html")  # not in DVC's temporary folder, which people empty
VEGA_LITE = "5.20"  # the schema that DVC's plots are written in

HTML = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh_tag}
<title>Plots of the pipeline</title>
<script>SCRIPTS</script>
<style>
body { font-family: system-ui, sans-serif; margin: 1.5rem; }
table {{ border-spacing: 15px; }
</style>
</head>
<body>
<h1>Plots of the pipeline</h1>
{plot_divs}
</body>
</html>
"""


def main() -> None:
    """Write the page."""
    import vl_convert  # a browser's worth of scripts: 30 MB

    scripts = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]  # optional, whatever its stub says
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(HTML.replace("SCRIPTS", scripts), encoding="utf-8")


if __name__ == "__main__":
    main()
