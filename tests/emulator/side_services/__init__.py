"""Redis, Lustre, Parallelstore and Recommender: what stands beside a tier."""
