"""Personal data and secrets: found, masked, and planted as canaries for audits."""
