"""The smallest service: one function, one path."""

import skitai
from atila import Atila

app = Atila(__name__)


@app.route("/")
def index(was, name="world"):
    return {"hello": name}


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(port=5000)
