"""Wires the rooms together: a host or a gateway as a process of its own, or both in one for tests and embedding."""
