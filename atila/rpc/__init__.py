"""Remote calls, XML-RPC and JSON-RPC, of the routes of an app."""
