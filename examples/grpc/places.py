"""The service guide.Places: a route for each method, with the name of the method."""

import places_pb2
from atila import Atila

app = Atila(__name__)
PLACES = {(1, 1): "library", (2, 5): "school"}


def place_at(was, point):
    name = PLACES.get((point.x, point.y))
    if name is None:
        raise was.Error("404 Not Found", f"nothing is at {point.x}, {point.y}")
    return places_pb2.Place(name=name, at=point)


@app.route("/GetPlace")
def GetPlace(was, point):
    """One message comes, one goes back. was.Error becomes a status of gRPC."""
    return place_at(was, point)


@app.route("/ListPlaces")
async def ListPlaces(was, point):
    """All places within a distance of ten, as a stream."""
    for x, y in PLACES:
        if abs(x - point.x) + abs(y - point.y) <= 10:
            yield place_at(was, places_pb2.Point(x=x, y=y))


@app.route("/Follow", input_stream=True)
async def Follow(was):
    """Streams in both directions: an answer for each point, when it comes."""
    async for point in was.Input():
        yield place_at(was, point)
