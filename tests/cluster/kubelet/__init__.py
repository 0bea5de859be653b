"""What a node does, without a container runtime: pods as the API server says, and Services without kube-proxy."""
