"""What can be mounted: apps and static files."""
