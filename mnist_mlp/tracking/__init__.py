"""All that knows MLflow.

store             the store, opened, and the few calls that the rest makes
artifact_paths    paths of a local store that survive its move
runs              a run per variant, a nested run per replicate, around a training
live              a training's curves, logged while it trains
metadata          what a run tells of its training: name, note, tags, data
backfill          runs of trainings of some time ago, of DVC's experiments, of the reports
agreement         all runs against dvc.lock: which are current, what is missing, their places
registry          the champion in the model registry; served_model: as MLflow serves it
progress          a training's live line in the terminal
"""
