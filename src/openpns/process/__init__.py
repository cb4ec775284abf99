"""What the long-running commands share: settings and their sources, the admin port."""
