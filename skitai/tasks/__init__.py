"""Tasks: work that runs elsewhere, as one object for threads, generators and coroutines."""
