"""What objects held at earlier times: the journal's past, kept by object."""
