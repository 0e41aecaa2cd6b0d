"""Contract tests of the programs that run inside the cluster."""
