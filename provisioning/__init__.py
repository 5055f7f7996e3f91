"""Setting a room up: its configuration, enrolment and updates."""
