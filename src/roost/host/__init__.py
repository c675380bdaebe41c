"""Many objects: the part of roost that runs the user's code."""
