"""A Git server over HTTPS: users and rights in front of git's own `git http-backend`."""
