"""The benchmark: every contender does the same work on one core, wrk asks from another."""
