"""The background writer: a child process of a host that writes objects' files, so that its loop does not share the
interpreter with that work."""
