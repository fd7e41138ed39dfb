"""The applications under measure: the same answers, as a good user of each writes them."""
