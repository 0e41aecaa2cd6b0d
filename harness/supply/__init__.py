"""Where the engine, binaries, images and charts come from.

A supply turns the pinned versions of `harness/versions.toml` into a `Toolchain`. Names and versions are the same
whatever the supply; what stands in for a real part is listed in `Toolchain.stand_ins` and shown in every header,
report and verdict.
"""
