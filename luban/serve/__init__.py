"""An OpenAI-compatible server for language models and classifiers of any Luban folder."""
