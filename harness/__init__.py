"""End-to-end proof for Airflow DAGs that version data with DVC, on a real Kubernetes cluster."""
