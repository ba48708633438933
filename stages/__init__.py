"""One short script per stage of the pipeline, run as `python -m stages.<stage>` from the project's top folder."""
