"""The tasks of benchmarks/methods.py, and how a method is tuned, measured and tabulated."""
