"""The reading room: who is there and what they say, at once, by websocket. Mounted at /live."""

import skitai

LONGEST = {"name": 40, "text": 500}  # characters


def __mount__(app, mntopt):
    @app.route("", methods=["GET"])
    def page(was):
        return was.render("live.j2")

    # Called before the socket is open. What it returns goes to everybody in the room.
    def came(was):
        if not 0 < len(was.request.args["name"].strip()) <= LONGEST["name"]:
            raise was.Error("400 Bad Request", "a name has 1 to 40 characters")
        return {"who": was.request.args["name"], "text": "came in", "event": True}

    def left(was):
        return {"who": was.request.args["name"], "text": "left", "event": True}

    # WS_GROUPCHAT calls it for every message, and sends what it returns to all members of the room,
    # whichever worker they are connected to. encoding="json" makes values of messages, and back.
    @app.route("/rooms/<room>")
    @app.websocket(skitai.WS_GROUPCHAT, timeout=600, onopen=came, onclose=left, encoding="json")
    def room(was, message, room, name: str):
        text = message.get("text") if isinstance(message, dict) else None
        if not isinstance(text, str) or not 0 < len(text.strip()) <= LONGEST["text"]:
            # Only for the one who sent it.
            was.websocket.send({"error": "a message has 1 to 500 characters"})
            return None
        return {"who": name, "text": text.strip()}


def announce(app, book):
    """Tell the reading room about a new book; any function of the app may do so."""
    news = {"who": "Shelf", "text": f"{book.title} by {book.author} is new", "event": True}
    app.websocket_broadcast("shelf", news, "live.room")
