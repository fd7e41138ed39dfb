"""Templates of an app; ``was.render`` uses them."""
