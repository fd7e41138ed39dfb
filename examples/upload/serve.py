"""Files from browsers: `python3 serve.py --devel`, then open http://127.0.0.1:5000/"""

import hashlib
from pathlib import Path

import skitai
from atila import Atila
from atila.uploads import Upload

app = Atila(__name__)
FOLDER = Path(skitai.abspath("uploads"))
BLOCK = 1 << 20  # bytes read at a time


@app.get("/")
def page(was):
    return was.render("upload.j2", files=sorted(stored()))


@app.post("/files")
def add(was, file: Upload):
    """Keep a file. Its body was on disk while it came: memory doesn't grow with it."""
    # The name was made safe, and a file that is there is never replaced: a.txt, a.1.txt, …
    path = Path(file.save(str(FOLDER), mkdir=True))
    return was.API("201 Created", name=path.name, size=file.size, sha256=digest(path))


@app.get("/files/<name>")
def download(was, name):
    """Send a file to be saved. Shown in the browser, a page among them could act as its user."""
    # Looked up among what is there, never joined to a path.
    if name not in stored():
        raise was.Error("404 Not Found", "there is no such file")
    was.response.set_header("X-Content-Type-Options", "nosniff")
    return was.File(str(FOLDER / name), filename=name)


@app.post("/checksum", input_stream=True)
async def checksum(was):
    """The SHA-256 of a body of any size, made while it comes. Nothing of it is kept."""
    total = hashlib.sha256()
    async for block in was.Input(BLOCK):
        total.update(block)
    return was.API(sha256=total.hexdigest())


def stored():
    """Names of the files that were kept."""
    return {path.name for path in FOLDER.glob("*") if path.is_file()}


def digest(path):
    """The SHA-256 of a file, as text."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            total.update(block)
    return total.hexdigest()


if __name__ == "__main__":
    with skitai.preference() as pref:
        pref.config.MAX_UPLOAD_SIZE = 2 << 30  # bytes; what is larger is answered with 413
        skitai.mount("/", app, pref)

    skitai.run(port=5000)
