"""Contract tests of the registry supply, against a real registry and a real engine."""
