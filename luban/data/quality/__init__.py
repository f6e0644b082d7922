"""Rules of quality: published sets by name, each threshold a setting, each drop with its value."""
