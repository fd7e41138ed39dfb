"""Several apps in one service: by path, by host, one built on another, and events between them.

/                    shop, which extends base
/stock               stock, which shop tells of orders
blog.example.com/    blog, for that host
"""

import skitai

import base
import blog
import shop
import stock


def closed_comments(app, mntopt):
    """Change one route of the blog from outside; its files stay as they are."""

    @app.get("/comments")
    async def comments(was):
        raise was.Error("403 Forbidden", "comments are closed")


if __name__ == "__main__":
    with skitai.preference() as pref:
        pref.extends(base)  # what the shop hasn't, base has: routes, templates, static files
        pref.config.SHOP_NAME = "Tea & more"
        skitai.mount("/", shop, pref, name="shop")

    with skitai.preference() as pref:
        skitai.mount("/stock", stock, pref, subscribe=["shop"])

    with skitai.preference() as pref:
        pref.overrides(closed_comments)  # wins over what the blog has itself
        skitai.mount("/", blog, pref, host="blog.example.com")

    skitai.run(port=5000)
