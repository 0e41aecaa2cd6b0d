"""What every unit test relies on."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine makes examples slow; that says nothing about the code, and the number of examples stays what it is.
settings.register_profile("harness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("harness")
