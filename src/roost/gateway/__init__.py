"""Clients' connections: HTTP and WebSocket on one port. Runs no code of the application."""
