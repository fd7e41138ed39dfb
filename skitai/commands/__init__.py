"""What a launch script does besides serving: start, stop, status, install and others."""
