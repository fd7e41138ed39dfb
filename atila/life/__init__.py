"""The life of an app: modules and their hooks, events, maintenance."""
