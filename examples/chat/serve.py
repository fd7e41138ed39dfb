"""Rooms to talk in, over websockets: `python3 serve.py`, then open http://127.0.0.1:5000/

Two workers: people of one room are connected to different processes and still meet.
"""

import skitai
from atila import Atila

app = Atila(__name__)
LONGEST = {"name": 30, "text": 500}  # characters


@app.get("/")
def page(was, room: str = "lobby"):
    return was.render("chat.j2", room=room)


def came(was):
    """Called before the socket is open. was.Error refuses it; a result goes to the whole room."""
    name = was.request.args["name"].strip()
    if not 0 < len(name) <= LONGEST["name"]:
        raise was.Error("400 Bad Request", "a name has 1 to 30 characters")
    was.request.g.name = name  # was lives as long as the socket
    return {"name": name, "event": "came in"}


def left(was):
    return {"name": was.request.g.name, "event": "left"}


@app.route("/rooms/<room>")
@app.websocket(
    skitai.WS_GROUPCHAT, timeout=3600, onopen=came, onclose=left, encoding="json", max_message=4096
)
def talk(was, message, room, name: str):
    """What it returns goes to all members of the room, in all workers."""
    text = message.get("text") if isinstance(message, dict) else None
    if not isinstance(text, str) or not 0 < len(text.strip()) <= LONGEST["text"]:
        was.websocket.send({"error": "a message has 1 to 500 characters"})  # only for the sender
        return None
    return {"name": was.request.g.name, "text": text.strip()}


if __name__ == "__main__":
    with skitai.preference() as pref:
        pref.set_static("/static", "static")
        skitai.mount("/", app, pref)

    skitai.run(port=5000, workers=2)
