"""Export and register the studies' best model.

Reads reports/champion.json and champion.keras; writes champion/. Trouble with MLflow is a line on the
standard error: `mnist-mlp track` registers the model later. In DVC's temporary copies it registers nothing, since an
experiment's champion is the checkout's only once it is applied.
"""

from mnist_mlp.pipeline.stage import run


def main() -> None:
    import sys

    from mnist_mlp import config, files, paths
    from mnist_mlp.pipeline import experiments
    from mnist_mlp.serving import export
    from mnist_mlp.tracking import registry
    from mnist_mlp.tracking.store import open_store

    params = config.load()
    best = files.read_json(paths.REPORTS / "champion.json", *export.KEYS)
    export.export(best)
    who = f"{best['study']}/{best['variant']}, seed {best['seed']}"
    apart = f"test accuracy {best['test_accuracy']:.2%} on the {best['test_images']:,} images that didn't choose it"
    print(f"{paths.CHAMPION}: {who}, {apart}")
    if experiments.in_checkout():
        try:
            store = open_store()
            with store.lock():
                registry.register(store, params)
        except Exception as error:
            print(f"warning: {registry.trouble(error)}; `mnist-mlp track` registers it later", file=sys.stderr)


if __name__ == "__main__":
    run(main)
