"""Sentences for people to look at: draw or choose them, write them for a tool, read the answers back."""
