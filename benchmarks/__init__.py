"""One question per file, each answered with figures, the machine and the commit: `make bench`."""
