"""Three frameworks in one service: `python3 examples/hosting/serve.py --devel`.

Atila answers at `/`, Flask at `/shop`, FastAPI at `/api`.
"""

from __future__ import annotations

from typing import Any

import skitai
from atila import Atila

app = Atila(__name__)


@app.route("/")
def index(was: Any) -> Any:
    """Show where the others are."""
    return was.API(shop="/shop/", api="/api/hello", documents="/api/docs")


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.mount("/shop", "shop:create_app")
    skitai.mount("/api", "api:app")
    skitai.run(port=5000)
