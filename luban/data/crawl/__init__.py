"""From seed addresses on the web to WARC files: polite, resumable, and safe towards its own network."""
