"""Rows from one form that the world has to another: tables, chats, questions, spans."""
