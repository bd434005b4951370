"""Files: atomic writes, records of output folders, published weights."""
