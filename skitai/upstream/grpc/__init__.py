"""gRPC as a client speaks it, through grpcio."""

import os

# It is read when grpcio is loaded, which else tells stderr about every connection that ends.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
