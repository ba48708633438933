"""Draw and write the comparison of all variants.

Reads what evaluate wrote to reports/ and the published figures; writes reports/comparison.html, comparison.md and
figures/. `mnist-mlp readme` puts the results into README.md and docs/. Under DVC the runs in MLflow then agree with
what was compared: an experiment whose training came from the cache has its run.
"""

from mnist_mlp.pipeline.stage import STAGE, check_inputs, run


def main() -> None:
    import os

    from mnist_mlp import config, files, paths
    from mnist_mlp.pipeline import committed
    from mnist_mlp.report import figures, html, markdown, results, terminal

    params = config.load()
    read = results.read(params)
    on = f"on {read.metrics['dataset']}"
    drawn = {
        "accuracy.png": figures.accuracies(
            read.replicates, read.table, read.published, f"Test accuracy of every variant {on}"
        ),
        **{
            figures.map_name(study): figures.heat_map(means, f"Mean test accuracy of {study} {on}")
            for study, means in results.grids(read).items()
        },
        **{
            figures.interaction_name(study): figures.interaction(
                effects, results.across(read, study), f"What {effects['factor'].iloc[0]} does in {study} {on}"
            )
            for study, effects in results.interactions(read).items()
        },
        "costs.png": figures.costs(results.costs(read), f"Test accuracy {on}, and what it costs"),
        "curves.png": figures.validation_curves(
            results.best_curves(read), f"The candidate and the best of each study {on}"
        ),
    }
    texts = {"comparison.md": markdown.markdown(read), "comparison.html": html.html(read)}
    with files.replaced_folder(paths.FIGURES) as folder:  # a study that is gone leaves none
        for name, figure in drawn.items():
            figures.save(figure, folder / name)
    for name, text in texts.items():
        files.write(paths.REPORTS / name, text)
    print("\n".join([*terminal.lines(read), *committed.lines(params)]))
    print(f"everything: {paths.REPORTS / 'comparison.html'}; curves: `make ui`, or `dvc plots show`")
    if STAGE in os.environ:
        check_inputs()
        from mnist_mlp.tracking import agreement

        agreement.after_comparison(params)


if __name__ == "__main__":
    run(main)
