"""The summary of a run: scalars out of everything that the instruments found, with their definitions."""
