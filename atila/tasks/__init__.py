"""Tasks in apps: routes that wait without a thread, and responses that are made later."""
