"""Long work as jobs: what can be ordered, what it would make, starting and doing it. Needs no dash."""
