"""HTTP as a client: services by alias or URL, their stubs, and what proxies need."""
