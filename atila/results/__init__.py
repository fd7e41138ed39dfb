"""What a handler returns and how it becomes a response."""
