"""The master process: it starts workers, replaces, reloads and stops them, and never serves."""
