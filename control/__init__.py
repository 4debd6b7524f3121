"""What is neither a page nor an adapter: settings, refresh, executor, audit, the command line."""
