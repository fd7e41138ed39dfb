"""A client with the stubs of grpcio, the package of the gRPC project."""

import grpc
import places_pb2
import places_pb2_grpc

POINTS = [places_pb2.Point(x=1, y=1), places_pb2.Point(x=2, y=5)]

with grpc.insecure_channel("127.0.0.1:5000") as channel:
    places = places_pb2_grpc.PlacesStub(channel)
    print(places.GetPlace(POINTS[0], timeout=30).name)
    print([place.name for place in places.ListPlaces(POINTS[0], timeout=30)])
    print([place.name for place in places.Follow(iter(POINTS), timeout=30)])
    try:
        places.GetPlace(places_pb2.Point(x=9, y=9), timeout=30)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
