"""Copies of a whole data directory, elsewhere: taken while it serves, shipped as it goes, and led back."""
