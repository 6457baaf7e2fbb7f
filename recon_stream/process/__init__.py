"""Running a role: the process itself, its parent, its watchdog and its operations port."""
