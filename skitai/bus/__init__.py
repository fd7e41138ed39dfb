"""How the workers of a service speak to each other: directly, without the master."""
