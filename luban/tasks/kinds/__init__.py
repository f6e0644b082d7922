"""The tasks, one file each: `luban.tasks.task` says what such a file holds."""
