"""Values that requests share: within a worker, or between all of them."""
