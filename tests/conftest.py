"""What holds of all tests."""

from hypothesis import settings

settings.register_profile("any-machine", deadline=None)  # how long an example takes is for bench/ to measure
settings.load_profile("any-machine")
