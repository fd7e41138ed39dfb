"""The applications under measure: the same two answers, as a good user of each writes them."""
