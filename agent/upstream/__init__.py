"""The way up: what a room and its centre say to each other, and both ends of it."""
