"""Measurements on the real services; never part of the tests, because time on a shared machine proves nothing."""
