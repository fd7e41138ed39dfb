"""What a worker does under ``--devel`` only: pages that reload themselves after a save."""
