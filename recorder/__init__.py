"""The recorder: its core, which holds disk and key, and its children, which hold the devices."""
