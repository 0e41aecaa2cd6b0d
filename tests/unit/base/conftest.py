"""Property tests here must not depend on how busy the machine is."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("harness", deadline=None)
settings.load_profile("harness")
