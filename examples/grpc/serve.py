"""A gRPC service, on the same port as everything else: see README.md for what to make first."""

import skitai

if __name__ == "__main__":
    skitai.mount("/guide.Places", "places.py")
    skitai.run(port=5000)
