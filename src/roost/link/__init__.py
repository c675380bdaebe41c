"""Two ends: the ordered, batched stream of frames between gateway and host, and between host and host."""
