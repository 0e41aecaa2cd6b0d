"""The Airflow release: chart, values, installation, and the API client."""
