"""The runs of the cluster as a replica last saw them, what it asks of the cluster, and which of them are due."""
