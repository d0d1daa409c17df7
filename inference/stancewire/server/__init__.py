"""The server: a page and a JSON API before one classifier, on this machine. `docs/serve.md` describes it."""
