"""What a service says of itself: health, figures for Prometheus, a status page, reports."""
