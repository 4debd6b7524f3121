"""Google Cloud and Kubernetes on loopback; imports nothing of ours but core.tpu."""
