"""Starts the demo app Shelf: `python3 serve.py --devel`, then open http://localhost:5000/

The books are kept in shelf.sqlite3 next to this file; set SHELF_DB to keep them elsewhere.
"""

import skitai

if __name__ == "__main__":
    # path= puts examples/, seen from this file, in front of sys.path: that is where shelf is found.
    with skitai.preference(path="examples") as pref:
        import shelf

        skitai.mount("/", shelf, pref)

    skitai.run(port=5000, name="demo")
