"""What a client's browser keeps for an app: cookies, sessions, messages; ``was`` offers it."""
