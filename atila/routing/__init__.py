"""From paths to routes and back; the app and the endpoints use it."""
