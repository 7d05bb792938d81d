"""Notebook to one offline HTML file, and the command line."""
