"""The local stack: the real services, from packages alone, without containers or system packages."""
