"""Where blocking code runs."""
