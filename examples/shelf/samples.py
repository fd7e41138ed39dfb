"""The books on the shelf at the first start. The library stores them, the first line first."""

from __future__ import annotations

from .fields import DEFAULTS

LINES = """
Frankenstein | Mary Shelley | 1818 | finished | 4 | She was eighteen and the summer was wet.
The Pillow Book | Sei Shōnagon | 1002 | reading | 5 | The first blog, a thousand years early.
One Hundred Years of Solitude | Gabriel García Márquez | 1967 | wanted | 0 | Bring a family tree.
The Name of the Rose | Umberto Eco | 1980 | finished | 4 | Skip nothing, not even the Latin.
Things Fall Apart | Chinua Achebe | 1958 | finished | 5 | Plain words, and the floor opens.
Pedro Páramo | Juan Rulfo | 1955 | wanted | 0 |
The Summer Book | Tove Jansson | 1972 | finished | 5 | An island. Best read with wet feet.
Gödel, Escher, Bach | Douglas Hofstadter | 1979 | reading | 0 | Page 312. Send a search party.
Invisible Cities | Italo Calvino | 1972 | finished | 5 | One city a day, before breakfast.
The Master and Margarita | Mikhail Bulgakov | 1967 | reading | 4 | The cat pays his tram fare.
Frog and Toad Are Friends | Arnold Lobel | 1970 | finished | 5 | To be read aloud, with voices.
Piranesi | Susanna Clarke | 2020 | wanted | 0 | Lent to me with the words: look nothing up.
The Left Hand of Darkness | Ursula K. Le Guin | 1969 | reading | 5 | Two people, one sledge, ice.
"""

SAMPLES = [
    dict(zip(DEFAULTS, (part.strip() for part in line.split("|")), strict=True))
    for line in LINES.strip().splitlines()
]
