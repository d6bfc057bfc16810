"""Providers of each stage; registered through the same door as a stranger's."""
