"""A Kubernetes operator that runs JavaScript workflows."""
