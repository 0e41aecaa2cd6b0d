"""A stand-in for git-sync v4 where its image cannot be had.

It honours the contract that a consumer sees (https://github.com/kubernetes/git-sync, tag v4.4.2: main.go, env.go and
README): environment and its precedence, layout below the root, relative symlink flipped atomically, HTTP readiness,
exit codes. What it does not do is named in a warning when it is asked for. Settings come from the environment alone,
not from flags.
"""
