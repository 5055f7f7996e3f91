"""Tests of the recorder's children."""
