"""The adapter: an admission webhook that adds to pods what only a local cluster needs, so that DAGs stay unedited."""
