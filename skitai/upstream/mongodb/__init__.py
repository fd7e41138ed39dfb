"""MongoDB by pymongo's asynchronous client."""
