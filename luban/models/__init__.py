"""Models: a stem that reads ids, a trunk that relates them, a head that answers."""
