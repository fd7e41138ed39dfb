"""Documents made from tests: what answers say of their resource, and the report of a session."""
