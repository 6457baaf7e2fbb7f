"""Faust stream processors, one a module: verbs. They meet only at topics; nothing here has to do with AI."""
