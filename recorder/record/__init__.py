"""The record: its format, journal and verification. Pure; anyone may import it."""
