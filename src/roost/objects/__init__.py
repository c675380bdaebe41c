"""One live object: its gates, its sockets, its life."""
