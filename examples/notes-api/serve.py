"""A REST API of notes: `python3 serve.py --devel`, then open http://127.0.0.1:5000/api/openapi"""

import skitai

import api

if __name__ == "__main__":
    with skitai.preference() as pref:
        skitai.mount("/api", api, pref)

    skitai.run(port=5000, name="notes-api")
