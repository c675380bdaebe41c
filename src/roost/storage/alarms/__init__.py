"""Alarms: of an object, and the agenda of all objects of a host."""
