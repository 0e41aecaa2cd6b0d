"""What a run on EKS needs in an account and a cluster, prepared once and removed again: `harness eks`."""
