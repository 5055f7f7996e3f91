"""Sealed records on their way to the archive: offered, sent in parts, acknowledged by hash, and only then deleted here."""
