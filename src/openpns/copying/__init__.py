"""Copy a whole database to an empty one, of the same engine or the other one."""
