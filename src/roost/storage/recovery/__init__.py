"""The ways back: after a crash, after damage, to a former state, from a former format."""
