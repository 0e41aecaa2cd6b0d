"""What is kept when a run fails: collect, redact, diagnose."""
