"""The journal of a host: records, batches, segments, and what becomes of them."""
