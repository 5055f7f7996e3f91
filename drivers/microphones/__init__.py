"""Microphones, one module a kind."""
