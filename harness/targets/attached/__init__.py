"""What targets share that attach to a cluster which is there: namespaces taken, images, reaper, forwards."""
