"""Raw files become documents, clean documents, splits, token shards and batches."""
