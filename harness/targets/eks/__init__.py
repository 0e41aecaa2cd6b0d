"""Running on an EKS cluster that is there: its description, a kubeconfig of our own, tokens, and guards before it."""
