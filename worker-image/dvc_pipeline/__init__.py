"""The tasks of the DAG `dataset_pipeline`: `dvc-pipeline pull`, `modify` and `push`.

Each runs in a pod of its own. What passes between them lies in the run's folder on the shared volume; how they are
configured is in `dvc_pipeline.config`. Every task may be tried again at any point: `pull` starts over, `modify`
computes the same bytes again, `push` finds out how far an earlier try came.
"""
