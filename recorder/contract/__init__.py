"""Messages of the recorder's sockets. Pure; anyone may import it."""
