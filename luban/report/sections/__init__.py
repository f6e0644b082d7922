"""The numbered parts of the report page, one file a theme."""
