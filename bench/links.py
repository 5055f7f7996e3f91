"""Bad links."""
