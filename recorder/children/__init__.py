"""The recorder's children: one killable process a device."""
