"""The pipeline under test on a running environment: seed its repository and data, run the DAG, follow its pods.

The design's picture has this box ("seed repo, trigger, follow pods"); it stands apart from `harness/airflow/`
(which knows nothing of Git or DVC) and from `harness/dvc/` (which knows nothing of a cluster).
"""
