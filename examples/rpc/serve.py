"""Functions that are called from elsewhere, by XML-RPC, JSON-RPC or plain HTTP."""

import skitai
from atila import Atila

app = Atila(__name__)
PRICES = {"tea": 250, "coffee": 310}  # cents


# There is nothing to declare: the content type of a POST says how the function is called.
@app.route("/rpc/shop/price", methods=["GET", "POST"])
async def price(was, item: str, pieces: int = 1):
    """The price of some pieces of an item, in cents."""
    if item not in PRICES:
        raise was.Error("404 Not Found", f"nobody sells {item}")
    return {"item": item, "cents": PRICES[item] * pieces}


# The other side: a stub is asked as if it were an object. Both calls run at the same time.
@app.get("/bill")
async def bill(was):
    with was.jsonrpc("@shop") as shop:
        tasks = await was.Tasks(shop.shop.price("tea", 2), shop.shop.price("coffee"))
    return was.API(cents=sum(result["cents"] for result in tasks.fetch()))


if __name__ == "__main__":
    # Another service, in real life.
    skitai.alias("@shop", skitai.PROTO_HTTP, "127.0.0.1:5000/rpc")
    skitai.mount("/", app)
    skitai.run(port=5000)
