"""The library behind the pipeline's stages.

    errors, paths, files    UserError; where everything lies; files that are read checked and written whole
    config                  params.yaml as checked, frozen models
    data                    the images: fetched, read, scaled
    training                a variant's replicates; `training.compiled` holds what is made for speed
    evaluation              predictions to tables; statistics, comparisons, effects
    report                  tables to Markdown, a page and figures
    serving                 the champion as a model of raw images
    pipeline                all that knows DVC
    tracking                all that knows MLflow
    cluster                 all that knows Dask
    commands                `mnist-mlp ui | track | verify | cluster | repair | readme`

Imports go one way: each line may import those above it. pyproject.toml's import-linter contracts hold the order.
"""
