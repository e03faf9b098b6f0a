"""One drawer of edits, for training, evaluation and explanation."""
