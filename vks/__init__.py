"""The videoconference."""
