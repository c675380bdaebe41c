"""One object's state on disk: its SQLite file, the journal that makes it durable, and what user code sees of both."""
