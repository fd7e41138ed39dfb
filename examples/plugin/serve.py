"""A website with a plugin: `python3 serve.py --devel`, then open http://127.0.0.1:5000/"""

import skitai

import feedback
import website

if __name__ == "__main__":
    with skitai.preference() as pref:
        pref.add_resources(feedback)  # its templates, behind those of the website
        skitai.mount("/", website, pref)

    skitai.run(port=5000)
