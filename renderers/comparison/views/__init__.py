"""The comparisons of the workbench: every module here has a tuple COMPARISONS."""
