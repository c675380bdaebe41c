"""Starts, watches, replaces and stops the processes of one machine: gateways and hosts."""
