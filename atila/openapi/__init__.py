"""OpenAPI 3.1: the description of an app's routes for programs, and a page to try them."""
