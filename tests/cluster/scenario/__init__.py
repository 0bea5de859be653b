"""Dragoman on two clusters, from `helm install` to `helm uninstall`."""
