"""Changes to a finished model from outside: new heads, frozen parts, learning rates by depth."""
