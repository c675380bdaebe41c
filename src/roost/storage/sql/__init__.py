"""`ctx.storage.sql`: users' statements, watched over."""
