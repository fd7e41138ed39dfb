"""Upstreams: the databases and services that apps use by alias, and their drivers."""
