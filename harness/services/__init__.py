"""What the DAG talks to: S3, Git, Postgres, and the adapter that makes a local cluster fit an unedited DAG."""
