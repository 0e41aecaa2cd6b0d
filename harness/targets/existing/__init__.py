"""Running on a cluster that is there, by the name of a kubeconfig's context: guards before it, rights, images."""
