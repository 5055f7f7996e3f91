"""The room's checks of itself: before a hearing, on command, and by a technician's hand; never while a hearing is recorded."""
