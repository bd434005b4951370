"""Files: written whole, named freely, fetched and read safely."""
