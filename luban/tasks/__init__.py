"""What each task is: its examples, its objective, its score, its prediction."""
