"""Where documents are scored, if not in this process: `ray` is a cluster."""
