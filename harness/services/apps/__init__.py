"""Programs that run inside the cluster as services.

Each is a package of its own, on Python's standard library alone: images copy just that folder and run it with
`python3 -m`. They import nothing from `harness`, and `harness` imports none of them.
"""
